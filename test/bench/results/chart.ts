import { FIGURES, type FigureName } from "../figures.ts";
import { getSpread } from "./comparison.ts";
import type { RunResult } from "./run-result.ts";

/** What is drawn: a panel for each scenario, a bar for each contender. */
const PANELS: readonly { readonly scenario: string; readonly figure: FigureName; readonly title: string }[] = [
  { scenario: "unary-0.4", figure: "cpu", title: "CPU µs per request, prompts of 0.4 KB" },
  { scenario: "unary-4.5", figure: "cpu", title: "CPU µs per request, prompts of 4.5 KB" },
  { scenario: "unary-35", figure: "cpu", title: "CPU µs per request, prompts of 35 KB" },
  { scenario: "streams", figure: "cpuPerEvent", title: "CPU µs per streamed event" },
];
/** Noise is for the tables. */
const LEFT_OUT = new Set(["direct", "direct-again", "relay-again", "weir-disk"]);

const WIDTH = 860;
const PANEL_WIDTH = WIDTH / 2;
const NAME_WIDTH = 112;
const NUMBER_WIDTH = 64;
const BAR_WIDTH = PANEL_WIDTH - NAME_WIDTH - NUMBER_WIDTH - 12;
const ROW = 22;
const TITLE = 34;
const FOOTER = 40;
/** A bar this many times as long as the next one is broken, else the others could not be told apart. */
const BREAK_AT = 3;
/** Width of the gap in a broken bar. */
const BREAK = 11;

// Readable on white and on black alike.
const TEXT = "#7d8590";
const OURS = "#2f81f7";
const OTHERS = "#9aa4af";

interface Bar {
  readonly name: string;
  readonly value: number;
}

/** Draws a run as bars with their numbers. The bar of one that is far beyond all others is broken, and says so. */
export function toSvg(result: RunResult): string {
  const panels = PANELS.map((panel) => ({ ...panel, bars: findBars(result, panel) })).filter(
    ({ bars }) => bars.length > 0,
  );
  const rows = Math.max(1, ...panels.map(({ bars }) => bars.length));
  const panelHeight = TITLE + rows * ROW + 14;
  const height = Math.ceil(panels.length / 2) * panelHeight + FOOTER;
  const body = panels.map(({ title, bars, figure }, index) => {
    const [x, y] = [(index % 2) * PANEL_WIDTH, Math.floor(index / 2) * panelHeight];
    return `<g transform="translate(${x},${y})">${drawPanel(title, bars, FIGURES[figure].digits)}</g>`;
  });
  const { machine } = result;
  const footer = `${result.startedAt.slice(0, 10)}, ${machine.cpu}, one core for the gateway, Node ${machine.node}, median of ${result.rounds} rounds. Shorter is better.`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="13" fill="${TEXT}"><title>CPU by contender</title>
${body.join("\n")}
<text x="0" y="${height - 14}" font-size="12">${escapeText(footer)}</text>
</svg>
`;
}

function findBars(
  { contenders, segments }: RunResult,
  { scenario, figure }: { readonly scenario: string; readonly figure: FigureName },
): Bar[] {
  return contenders.flatMap(({ name }) => {
    const spread = LEFT_OUT.has(name) ? undefined : getSpread(segments, scenario, name, figure);
    return spread === undefined ? [] : [{ name, value: spread.median }];
  });
}

function drawPanel(title: string, bars: readonly Bar[], digits: number): string {
  const longest = findLongest(bars.map(({ value }) => value));
  const rows = bars.map(({ name, value }, index) => {
    const y = TITLE + index * ROW;
    const isBroken = value > longest;
    const width = Math.max(1, (Math.min(value, longest) / longest) * BAR_WIDTH);
    const color = name.startsWith("weir") ? OURS : OTHERS;
    const opacity = name.startsWith("weir-") ? ' opacity="0.55"' : "";
    const rectangle = (from: number, to: number) =>
      `<rect x="${(NAME_WIDTH + from).toFixed(1)}" y="${y}" width="${(to - from).toFixed(1)}" height="15" rx="2" fill="${color}"${opacity}/>`;
    const bar = isBroken
      ? rectangle(0, width * 0.78) + drawBreak(NAME_WIDTH + width * 0.78, y) + rectangle(width * 0.78 + BREAK, width)
      : rectangle(0, width);
    return [
      `<text x="${NAME_WIDTH - 8}" y="${y + 12}" text-anchor="end">${escapeText(name)}</text>`,
      bar,
      `<text x="${(NAME_WIDTH + width + 6).toFixed(1)}" y="${y + 12}">${value.toFixed(value < 100 ? digits : 0)}</text>`,
    ].join("");
  });
  return `<text x="${NAME_WIDTH}" y="18" font-weight="600">${escapeText(title)}</text>${rows.join("")}`;
}

/** The value that fills the width: the largest, or a little more than the second largest when the largest is far beyond it. */
function findLongest(values: readonly number[]): number {
  const [first = 1, second = first] = [...values].sort((a, b) => b - a);
  return first > second * BREAK_AT ? second * BREAK_AT * 0.75 : first;
}

/** Two slanted lines in the gap between the two parts of a bar: it goes on. */
function drawBreak(x: number, y: number): string {
  const line = (at: number) => `<path d="M${at.toFixed(1)} ${y + 18}l5 -21" stroke="${TEXT}" stroke-width="1.5"/>`;
  return line(x + 1) + line(x + 5);
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
