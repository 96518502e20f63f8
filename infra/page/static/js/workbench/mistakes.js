// Mistakes as the checker tells them, with their places in the text.

const MISTAKE = /^line (\d+), column (\d+): (.*)$/;
const UNDERLINE = /^\s*(\^+)/;

/**
 * @param {string} detail of the API's answer
 * @param {string} text the query
 * @returns {{message: string, line: number, column: number, from: number, to: number}[]} from and to: characters
 */
export function mistakes(detail, text) {
  const lines = detail.split("\n");
  const starts = [0];
  for (const [at, sign] of [...text].entries()) if (sign === "\n") starts.push(at + 1);
  const found = [];
  for (const [at, told] of lines.entries()) {
    const match = MISTAKE.exec(told);
    if (!match) continue;
    const line = Number(match[1]), column = Number(match[2]);
    const width = UNDERLINE.exec(lines[at + 2] ?? "")?.[1].length ?? 1;
    const from = Math.min((starts[line - 1] ?? text.length) + column - 1, text.length);
    found.push({ message: match[3], line, column, from, to: from + Math.max(1, width) });
  }
  return found;
}
