// Who looks at the page, and what that role may do. The node decides anew at every request; this spares refusals.

const RANKS = { reader: 0, developer: 1, maintainer: 2, admin: 3 };

export class Me {
  constructor({ name, role, node, version }) {
    this.name = name;
    this.role = role;
    this.node = node;
    this.version = version;
  }

  get #rank() {
    return RANKS[this.role] ?? 0;
  }

  get maySubmit() {
    return this.#rank >= RANKS.developer;
  }

  /** A developer stops jobs of the same identity, those above any. */
  mayStop(job) {
    return this.#rank >= RANKS.maintainer || (this.maySubmit && job.owner === this.name);
  }
}
