"""Measurements → the tables of docs/converters.md, between its marks, and docs/results/converters.json.

python -m benchmarks.suite.converters.tables runs/converters docs
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgestill_benchmarks import describe_machine

from . import matrix

FILES = ("model.pte", "model.tflite")


def main() -> None:
    """Fill in the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("docs", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": describe_machine(), "matrix": matrix.rows(arguments.folder / "matrix")}
    for name in ("trained", "operators"):
        path = arguments.folder / f"{name}.json"
        if path.is_file():
            found[name] = json.loads(path.read_text())
    (arguments.docs / "results" / "converters.json").write_text(json.dumps(found, indent=1) + "\n")
    page = arguments.docs / "converters.md"
    text = page.read_text()
    tables: dict[str, Callable[[], str]] = {
        "matrix": lambda: matrix_table(found["matrix"]),
        "nets": lambda: nets_table(found["trained"]["nets"]),
        "rivals": lambda: rivals_table(found["trained"]["rivals"]),
        "operators": lambda: operators_table(found["operators"]),
    }
    for name, table in tables.items():
        mark = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        if found.get({"nets": "trained", "rivals": "trained"}.get(name, name)):
            text = re.sub(mark, lambda match, table=table: f"{match[1]}{table()}\n{match[2]}", text, flags=re.S)
    page.write_text(text)


def matrix_table(rows: list[dict[str, Any]]) -> str:
    """One architecture a line."""
    lines = [
        "| architecture | M parameters | int8 / fp32 time `.pte` | `.tflite` | MACs delegated | partitions "
        "| same logits | same class | cosine to fp32 | int8 kB | minutes | why |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        name, size = row["name"].partition(":")[2] or row["name"], f"{row['parameters'] / 1e6:.2f}"
        if "failed" in row:
            lines.append(f"| {name} | {size} |" + " – |" * 9 + f" fails: {row['failed'][:160]} |")
            continue
        ratios = {file: _ratio(row, file) for file in FILES}
        inside = [row["files"][file] for file in FILES]
        cells = [
            name, size, *(f"{ratio:.2f}" for ratio in ratios.values()),
            f"{100 * min(one['delegated_macs'] for one in inside):.0f} %",
            " / ".join(str(one.get("partitions", one.get("pieces"))) for one in inside),
            f"{100 * row['identical']:.2f} %",
            f"{100 * row['agreement']:.1f} %", f"{min(row['cosine'].values()):.4f}",
            " / ".join(f"{one['bytes'] / 1e3:,.0f}" for one in inside), f"{row['seconds'] / 60:.1f}",
            cause(row, ratios),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cause(row: dict[str, Any], ratios: dict[str, float]) -> str:
    """Why a row is slower than fp32, is not delegated whole, or has transposes; empty if nothing is wrong."""
    causes = []
    for file in FILES:
        inside, kind, slower = row["files"][file], file.rpartition(".")[2], ratios[file] > 1
        if inside["outside"]:
            names = ", ".join(one.removeprefix("aten::") for one in inside["outside"][:5])
            causes.append(f"{kind} leaves outside: {names}")
        if inside["transposes"]:
            causes.append(f"{kind}: {inside['transposes']} transposes")
        if slower and 0 < row["macs"] < 2e6:
            causes.append(f"{kind} slower: so small a net that fixed costs decide")
        elif slower:
            causes.append(f"{kind} slower: {inside['conversions']} conversions around what stays in float")
    return "; ".join(causes)


def nets_table(rows: list[dict[str, Any]]) -> str:
    """One trained net a line."""
    lines = [
        "| net | how | float | `.pte` | `.tflite` | lost, points | same class | same logits "
        "| time to fp32, `.pte` | `.tflite` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shares = row["accuracy"]
        worst = min(shares[file] for file in FILES)
        ratios = [row["p50_ms"][file] / row["p50_ms"][file.replace("model.", "model.fp32.")] for file in FILES]
        cells = [
            row["name"], _how(row), *(f"{100 * shares[word]:.2f} %" for word in ("float", *FILES)),
            f"{100 * (shares['float'] - worst):.2f}", f"{100 * row['agreement']:.2f} %",
            f"{100 * row['identical_logits']:.2f} %", *(f"{ratio:.2f}" for ratio in ratios),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _how(row: dict[str, Any]) -> str:
    """`int8`, with training or without, or the number of layers in float."""
    found = row["quantization"]
    if found["float_nodes"]:
        return f"mixed, {len(found['float_nodes'])} layers in float"
    return "int8, trained for it" if found.get("chosen") == "qat" else "int8"


def rivals_table(rows: list[dict[str, Any]]) -> str:
    """One way to int8 a line."""
    lines = ["| made by | accuracy | bytes | p50 ms | min ms |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | fails: {row['failed']} | | | |")
            continue
        cells = (f"{100 * row['accuracy']:.2f} %", f"{row['bytes']:,}", f"{row['p50_ms']:.3f}", f"{row['min_ms']:.3f}")
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def operators_table(rows: list[dict[str, Any]]) -> str:
    """One operator a line."""
    lines = [
        "| operator | `.pte` int8 / fp32 | `.tflite` int8 / fp32 | same answers | error of int8 "
        "| wholly int8, `.pte` / `.tflite` | what stays in float |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = (
            row["name"], f"{row['ratio']['model.pte']:.2f}", f"{row['ratio']['model.tflite']:.2f}",
            f"{100 * row['identical']:.2f} %", f"{100 * row['error']:.1f} %", row["int8"], row["float"],
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratio(row: dict[str, Any], file: str) -> float:
    times = row["latency_ms"]
    return float(times[file]["min"] / times[file.replace("model.", "model.fp32.")]["min"])


if __name__ == "__main__":
    main()
