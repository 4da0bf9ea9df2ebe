"""Read a CSV file of orders and tell what was sold: month by month while it goes, then the figures of the year.

    python3 analyse.py FILE [SECONDS]

SECONDS is how long to work on each month, for a result that is worth watching.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections import Counter, defaultdict


def main(path: str, pause: float = 0.4) -> None:
    """Print the report on the orders in the file ``path``."""
    months: defaultdict[str, list[float]] = defaultdict(list)
    by_region: Counter[str] = Counter()
    by_product: Counter[str] = Counter()
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value = int(row["units"]) * float(row["unit_price"])
            months[row["date"][:7]].append(value)
            by_region[row["region"]] += round(value * 100)
            by_product[row["product"]] += int(row["units"])
    for month, values in sorted(months.items()):
        time.sleep(pause)
        bar = "#" * round(sum(values) / 200)
        # Unlike a terminal's, a pipe's line stays in Python's buffer until it is flushed.
        print(f"{month}  {len(values):3} orders {sum(values):10.2f}  {bar}", flush=True)
    values = [value for month in months.values() for value in month]
    print(f"orders {len(values)}, total {sum(values):.2f}, median {statistics.median(values):.2f}")
    region, cents = by_region.most_common(1)[0]
    product, units = by_product.most_common(1)[0]
    print(f"best region: {region} ({cents / 100:.2f}); most sold: {product} ({units})")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:3]))
