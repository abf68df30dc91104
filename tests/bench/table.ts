/** Rows as people read them: one table of figures, and one of growth where there is any. */
import { formatTable } from "../../pipelines/command.ts";
import type { Row } from "./row.ts";

const HEADER = ["work", "unit", "ours", "PyTorch", "ratio", "of ceiling", "note"];
const GROWTH_HEADER = ["growth", "ms at size", "exponent", "of the arithmetic"];

export function formatRows(rows: readonly Row[]): string {
  const figures = rows.filter(({ growth }) => growth === undefined);
  const growing = rows.filter(({ growth }) => growth !== undefined);
  const tables = [
    ...(figures.length === 0 ? [] : [formatTable([HEADER, ...figures.map(figureCells)])]),
    ...(growing.length === 0 ? [] : [formatTable([GROWTH_HEADER, ...growing.map(growthCells)])]),
  ];
  return tables.join("\n\n");
}

function figureCells({ work, unit, ours, runs = [ours], peer, ratio, ceilingShare, note = "" }: Row): string[] {
  return [
    work,
    unit,
    runs.map(formatFigure).join(" / "),
    peer === undefined ? "" : formatFigure(peer),
    ratio === undefined ? "" : ratio.toFixed(2),
    ceilingShare === undefined ? "" : `${(100 * ceilingShare).toFixed(0)} %`,
    note,
  ];
}

function growthCells({ work, growth }: Row): string[] {
  const { points = [], exponent = NaN, arithmetic = NaN } = growth ?? {};
  const measured = points.map(([at, value]) => `${at}: ${formatFigure(value)}`).join("  ");
  return [work, measured, exponent.toFixed(2), arithmetic.toFixed(2)];
}

/** Three significant digits, and every digit before the point: 0.0123, 1.50, 49.3, 1,234. */
export function formatFigure(value: number): string {
  return Math.abs(value) >= 99.95 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}
