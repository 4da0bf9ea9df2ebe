// Runs tests of the page's modules in the browser, in the page, for test_dashboard.py. This and a file of tests behind
// it are the body of a function whose last argument takes the result: an object of test names and what is wrong ("" for
// nothing).

const done = arguments[arguments.length - 1];
const load = (name) => import(new URL(`static/${name}.js`, document.baseURI));

function same(got, wanted) {
  const [one, other] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`got ${one}, wanted ${other}`);
}

async function run(tests) {
  const results = {};
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
      results[name] = "";
    } catch (error) {
      results[name] = `${error.message}\n${error.stack}`;
    }
  }
  done(results);
}
