// What a policy file says of itself, in words.

const count = (number) => number.toLocaleString("en");

/** Fill a description list with what a policy says of itself. */
export function describe(list, { about, size }) {
  const rows = [
    ["environment", about.env],
    ["trained by", `${about.algo}, for ${count(about.steps)} agent steps, seed ${about.seed}`],
    ["score", score(about.scores.at(-1))],
    ["window", `${about.window.frames} ${about.frame.colour} frames of ${about.frame.height}×${about.frame.width}`],
    ["actions", about.action.meanings.join(", ")],
    ["parity", parity(about.parity)],
    ["size", `${count(Math.round(size / 1000))} kB`],
    ["written by", `edgerl ${about.versions.edgerl}`],
    ["licence", about.licence],
  ];
  for (const [term, words] of rows) list.append(text("dt", term), text("dd", words));
}

function score(last) {
  if (!last) return "none: it was never evaluated";
  const { step, episodes, mean, std } = last;
  return `${mean.toFixed(2)} ± ${std.toFixed(2)} over ${episodes} games at step ${count(step)}`;
}

function parity({ windows, other_actions: others }) {
  const actions = others ? `all but ${count(others)} actions` : "every action";
  return `${actions} as in the program, over ${count(windows)} windows of play`;
}

function text(name, words) {
  const made = document.createElement(name);
  made.textContent = words;
  return made;
}
