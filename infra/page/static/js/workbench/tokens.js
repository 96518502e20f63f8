// IGQL as an editor sees it: coloured words, and where the caret stands. What is right, the checker says.

const WORDS = new Set(["user", "blend", "true", "false", "and", "or", "not"]);
const TOKEN = /(#[^\n]*)|("(?:[^"\\\n]|\\.)*"?)|(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|(\s+)|(.)/gsu;

/**
 * A text in pieces; put together they are the text again.
 *
 * @param {string} text
 * @returns {{text: string, kind: string, at: number}[]}
 */
export function tokens(text) {
  const found = [];
  for (const match of text.matchAll(TOKEN)) {
    const [whole, comment, string, number, word, space] = match;
    const at = match.index;
    let kind = "sign";
    if (comment !== undefined) kind = "comment";
    else if (string !== undefined) kind = "string";
    else if (number !== undefined) kind = "number";
    else if (space !== undefined) kind = "space";
    else if (word !== undefined) {
      if (WORDS.has(word)) kind = "word";
      else if (/\.\s*$/.test(text.slice(0, at))) kind = "operator";
      else if (/^\s*=(?!=)/.test(text.slice(at + word.length))) kind = "parameter";
      else kind = "name";
    }
    found.push({ text: whole, kind, at });
  }
  return found;
}

/**
 * What may be written at a place.
 *
 * @param {string} text up to the caret
 * @param {Map<string, object>} operators by name, as /v1/igql tells of them
 * @returns {{from: number, choices: {text: string, told: string}[]}|null} `from`: where the begun word starts
 */
export function completions(text, operators) {
  const begun = /[A-Za-z_]\w*$/.exec(text)?.[0] ?? "";
  const from = text.length - begun.length;
  const before = tokens(text.slice(0, from)).filter(({ kind }) => kind !== "space" && kind !== "comment");
  const last = before.at(-1)?.text;
  const fitting = (list) => {
    const choices = list.filter((one) => one.text.startsWith(begun) && one.text !== begun);
    return choices.length ? { from, choices } : null;
  };
  if (last === ".") {
    const set = setBefore(before, operators);
    const fits = (operator) => set === null || operator.takes.includes(set) || (set === "media" && operator.takes.includes("accounts"));
    return fitting([...operators.values()].filter(fits).map((one) => ({ text: one.name, told: one.summary, call: one.parameters.length ? "(" : "()" })));
  }
  const call = openCall(before);
  if (call && last === "=") {
    const parameter = operators.get(call.name)?.parameters.find((one) => one.name === before.at(-2)?.text);
    const values = parameter?.choices.length ? parameter.choices : parameter?.wants === "true or false" ? ["true", "false"] : [];
    return fitting(values.map((value) => ({ text: value, told: parameter.wants })));
  }
  if (call && (last === "(" || last === ",") && operators.has(call.name)) {
    const free = operators.get(call.name).parameters.filter((one) => !call.given.has(one.name));
    return fitting(free.map((one) => ({ text: one.name, told: one.wants + (one.default === null ? "" : `, ${one.default} if left out`), call: "=" })));
  }
  if (begun && (!last || ":(,".includes(last))) return fitting(["user", "blend"].map((text) => ({ text, told: text === "user" ? "where a chain begins" : "several chains, weighed" })));
  return null;
}

/** The call whose brackets are open at the end: its name and the parameters it has. */
function openCall(before) {
  let depth = 0;
  const given = new Set();
  for (let at = before.length - 1; at >= 0; at--) {
    const { text, kind } = before[at];
    if (text === ")" ) depth += 1;
    else if (text === "(") {
      if (depth === 0) return { name: before[at - 1]?.text ?? "", given };
      depth -= 1;
    } else if (kind === "parameter" && depth === 0) given.add(text);
  }
  return null;
}

/** The type of the set before a dot, null if it cannot be told from here. */
function setBefore(before, operators) {
  const names = [];
  let depth = 0, at = before.length - 1;
  for (; at >= 0; at--) {
    const { text, kind } = before[at];
    if (text === ")") depth += 1;
    else if (text === "(") {
      if (depth === 0) break;
      depth -= 1;
      if (depth === 0 && before[at - 1]?.text === "blend") {
        names.push("blend");
        break;
      }
    } else if (depth === 0 && kind === "operator") names.push(text);
    else if (depth === 0 && text === "user") {
      names.push("user");
      break;
    }
  }
  let set = null;
  for (const name of names.reverse()) {
    if (name === "user") set = "viewer";
    else if (name === "blend") set = "media";
    else {
      const operator = operators.get(name);
      if (!operator) return null;
      set = operator.gives ?? set;
    }
  }
  return set;
}
