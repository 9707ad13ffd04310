"use strict";
// Names may hold any signs, and Plotly reads some of them as tags: it is given entities in their place.
const SIGNS = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const NAMES = ["name", "part", "attention"];
const data = JSON.parse(document.getElementById("data").textContent, (key, value) =>
  NAMES.includes(key) && typeof value === "string" ? value.replace(/[&<>]/g, (sign) => SIGNS[sign]) : value);
const root = document.documentElement;
const LIGHT = ["#0067b1", "#d1580a", "#00875f", "#b4488c", "#8a6d00", "#3a8fc4", "#6b7280", "#a3333d"];
const DARK = ["#5fb3f5", "#ff9f5a", "#3fd0a4", "#ee8fc8", "#e3c341", "#9bd2f2", "#aab3c0", "#ff8a92"];
const PARTS = ["libraries", "networks", "optimizer", "replay", "scratch", "unaccounted"];
const WORDS = { x: "agent steps" };

function dark() { return root.dataset.theme === "dark"; }
function colour(index) { const all = dark() ? DARK : LIGHT; return all[index % all.length]; }
function veil(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

// Breaks a long name into lines of about 24 letters, so that the axis leaves room for the plot.
function wrapped(name) {
  return name.split(" ").reduce((lines, word) => {
    const last = lines[lines.length - 1];
    if (last.length + word.length < 24) lines[lines.length - 1] = last ? `${last} ${word}` : word;
    else lines.push(word);
    return lines;
  }, [""]).join("<br>");
}

// The height in pixels of bars with these names, which are broken into lines: no name runs into the next.
function barsHeight(names) {
  return Math.max(300, 130 + 17 * names.length * Math.max(...names.map((name) => name.split("<br>").length)));
}

function layout(x, y, more = {}) {
  const ink = dark() ? "#e7eaef" : "#1d2430", line = dark() ? "#313a46" : "#dfe3e8";
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, exponentformat: "SI" };
  return {
    font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 55, r: 12, t: 8, b: 45 }, hovermode: "closest", showlegend: false,
    legend: { orientation: "h", y: 1.02, x: 0, yanchor: "bottom" },
    xaxis: { ...axis, title: { text: x }, rangemode: "tozero" },
    yaxis: { ...axis, title: { text: y }, ...(more.yaxis || {}) },
    ...Object.fromEntries(Object.entries(more).filter(([key]) => !key.endsWith("axis"))),
  };
}

// Random play and a human tester: dashed lines within the plot, an arrow at its top for one that is far above the curves.
function beside(env, values) {
  const low = Math.min(...values), high = Math.max(...values);
  const ink = dark() ? "#9aa5b4" : "#5b6675", shapes = [], annotations = [], lines = [];
  for (const [name, words] of [["random", "random play"], ["human", "human tester"]]) {
    const score = (env.references || {})[name];
    if (score === undefined) continue;
    const near = name === "random" || score <= high + 0.5 * (high - low);
    const at = near ? { y: score, yanchor: "bottom" } : { yref: "paper", y: 1, yanchor: "top" };
    annotations.push({ ...at, xref: "paper", x: 1, xanchor: "right", showarrow: false, font: { color: ink, size: 11 },
      text: `${words} ${score.toLocaleString()}${near ? "" : " ↑"}` });
    lines.push(near ? score : high + 0.15 * (high - low));
    if (!near) continue;
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: score, y1: score,
      line: { color: ink, width: 1.3, dash: "dash" } });
  }
  return { shapes, annotations, lines };
}

function scores(env, chosen) {
  const traces = [];
  const values = env.variants.flatMap((variant) => variant.seeds.flatMap((seed) => seed.y));
  const { shapes, annotations, lines } = beside(env, env.references ? [...values, env.references.random] : values);
  env.variants.forEach((variant, index) => {
    const x = variant.x[chosen.axis], curve = variant[chosen.statistic], ink = colour(index), group = "v" + index;
    if (curve.low.some((value) => value !== null)) {
      traces.push({ x: [...x, ...[...x].reverse()], y: [...curve.high, ...[...curve.low].reverse()], fill: "toself",
        fillcolor: veil(ink, 0.16), line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: group });
    }
    if (chosen.seeds && variant.seeds.length > 1) {
      for (const seed of variant.seeds) {
        traces.push({ x, y: seed.y, mode: "markers", marker: { size: 5, color: veil(ink, 0.55) }, showlegend: false,
          legendgroup: group, hovertemplate: `%{y:,.1f} at %{x:,}<extra>${variant.name}, seed ${seed.seed}</extra>` });
      }
    }
    const many = variant.seeds.length > 1 ? `${variant.seeds.length} seeds` : "one seed";
    traces.push({ x, y: curve.y, mode: "lines+markers", marker: { size: 4 }, line: { color: ink, width: 2.4 },
      name: `${variant.name} (${many})`, legendgroup: group,
      customdata: curve.y.map((_, at) => curve.low[at] === null ? "" :
        ` [${curve.low[at].toLocaleString()}, ${curve.high[at].toLocaleString()}]`),
      hovertemplate: `%{y:,.1f}%{customdata} at %{x:,}<extra>${variant.name}</extra>` });
    if (variant.freeze) {
      const at = variant.freeze[chosen.axis];
      shapes.push({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1,
        line: { color: ink, width: 1.3, dash: "dot" } });
    }
  });
  if (lines.length) { // unseen points make room for the lines
    traces.push({ x: lines.map(() => 0), y: lines, mode: "markers", marker: { opacity: 0 }, hoverinfo: "skip",
      showlegend: false });
  }
  return [traces, layout(env.axes[chosen.axis], "score", { shapes, annotations, showlegend: true })];
}

function overTime(env, name, label, unit, extra) {
  const traces = [], shapes = [];
  env.variants.forEach((variant, index) => {
    const mode = variant[name].x.length < 30 ? "lines+markers" : "lines"; // a line through one point would not be seen
    traces.push({ ...variant[name], mode, name: variant.name, line: { color: colour(index), width: 2 },
      legendgroup: "v" + index, hovertemplate: `%{y:,} ${unit} at step %{x:,}<extra>${variant.name}</extra>` });
    extra(variant, colour(index), traces, shapes, "v" + index);
  });
  return [traces, layout(WORDS.x, label, { shapes, yaxis: { rangemode: "tozero" } })];
}

function rows(env) {
  return overTime(env, "rows", "rows", "rows", (variant, ink, traces, shapes, group) => {
    traces.push({ ...variant.capacity, mode: "lines", line: { color: ink, width: 1.4, dash: "dot" }, showlegend: false,
      legendgroup: group, hovertemplate: `%{y:,} rows fit<extra>${variant.name}</extra>` });
  });
}

function memory(env) {
  return overTime(env, "memory", "MB", "MB", (variant, ink, traces, shapes) => {
    if (variant.limit) {
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: variant.limit, y1: variant.limit,
        line: { color: ink, width: 1.4, dash: "dash" } });
    }
  });
}

function ledger(env) {
  const names = env.variants.flatMap((variant) =>
    ["planned", "measured"].map((kind) => `${wrapped(variant.name)}, ${kind}`));
  const traces = PARTS.map((part, index) => ({
    type: "bar", orientation: "h", name: part, marker: { color: colour(index) }, y: names,
    x: env.variants.flatMap((variant) => [variant.ledger.planned[part] || 0, variant.ledger.measured[part] || 0]),
    hovertemplate: `%{x:,.1f} MB<extra>${part}</extra>`,
  }));
  return [traces, layout("MB", "", { barmode: "relative", showlegend: true, yaxis: { autorange: "reversed" } }),
    barsHeight(names)];
}

function speed(env) {
  const names = env.variants.map((variant) => wrapped(variant.name));
  const traces = ["before the freeze", "after it"].map((when, index) => ({
    type: "bar", orientation: "h", name: when, y: names,
    x: env.variants.map((variant) => variant.speed[index]), marker: { color: colour(index) },
    hovertemplate: `%{x:,.1f} steps/s ${when}<extra></extra>`,
  }));
  return [traces, layout("steps/s", "", { barmode: "group", showlegend: true, yaxis: { autorange: "reversed" } }),
    barsHeight(names)];
}

function reaching(env) {
  const names = env.reaching.map((variant) => wrapped(variant.name));
  const traces = [["own", "its own final score"], ["other", "the other's"]].map(([key, words], index) => ({
    type: "bar", orientation: "h", name: words, y: names,
    x: env.reaching.map((variant) => variant[key]), marker: { color: colour(index) },
    hovertemplate: `%{x:.3s} multiply-adds to ${words}<extra></extra>`,
  }));
  const bars = { barmode: "group", showlegend: true, yaxis: { autorange: "reversed" } };
  return [traces, layout("multiply-adds", "", bars), barsHeight(names)];
}

// Marks of an analysis: T_f, the step from which the stem is settled, and the bound of the rule.
function marks(analysis, bound) {
  const ink = dark() ? "#9aa5b4" : "#5b6675";
  const line = { type: "line", line: { color: ink, width: 1.2, dash: "longdash" } };
  const shapes = [{ ...line, xref: "paper", x0: 0, x1: 1, y0: bound, y1: bound }], annotations = [];
  const steps = [[analysis.freeze, "T_f", "dot", 0.09], [analysis.safe, "settled", "dashdot", 0]];
  for (const [step, text, dash, y] of steps) {
    if (step === null) continue;
    shapes.push({ ...line, line: { color: ink, width: 1.6, dash }, x0: step, x1: step, yref: "paper", y0: 0, y1: 1 });
    annotations.push({ x: step, yref: "paper", y, xanchor: "left", yanchor: "bottom", text, showarrow: false,
      font: { color: ink, size: 11 } });
  }
  return { shapes, annotations };
}

function layers(env, chosen, run) {
  const analysis = env.analyses[run], traces = [];
  const last = Math.max(...analysis.layers.flatMap((layer) => layer.x));
  analysis.layers.forEach((layer, index) => {
    const ink = colour(index), group = "l" + index;
    traces.push({ x: layer.x, y: layer.y, mode: "lines+markers", marker: { size: 4 }, name: layer.name,
      legendgroup: group, line: { color: ink, width: 2, dash: layer.part === "stem" ? "solid" : "dash" },
      hovertemplate: `%{y:.3f} from step %{x:,}<extra>${layer.name} (${layer.part})</extra>` });
    if (layer.untrained !== null) {
      traces.push({ x: [0, last], y: [layer.untrained, layer.untrained], mode: "lines", showlegend: false,
        legendgroup: group, line: { color: veil(ink, 0.45), width: 1, dash: "dot" },
        hovertemplate: `%{y:.3f}<extra>${layer.name}, untrained</extra>` });
    }
  });
  return [traces, layout(WORDS.x, "SVCCA", { ...marks(analysis, analysis.similarity), showlegend: true,
    yaxis: { range: [analysis.low, 1 + 0.03 * (1 - analysis.low)] } })];
}

function attention(env, chosen, run) {
  const analysis = env.analyses[run];
  const trace = { ...analysis.moved, mode: "lines+markers", marker: { size: 4 }, line: { color: colour(0), width: 2 },
    hovertemplate: `%{y:.3f} from step %{x:,}<extra></extra>` };
  return [[trace], layout(WORDS.x, "attention moved", { ...marks(analysis, analysis.movement),
    yaxis: { rangemode: "tozero" } })];
}

const PLOTS = { scores, rows, memory, ledger, speed, reaching, layers, attention };

function chosenOf(index) {
  const find = (name) => document.querySelector(`[data-choose="${name}"][data-env="${index}"]`);
  return { axis: find("axis").value, statistic: find("statistic").value, seeds: find("seeds").checked };
}

function draw(element) {
  const index = Number(element.dataset.env);
  const [traces, shape, height] = PLOTS[element.dataset.plot](data.sections[index], chosenOf(index),
    Number(element.dataset.run));
  if (height) element.style.height = `${height}px`;
  Plotly.react(element, traces, shape, { responsive: true, displaylogo: false, displayModeBar: "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
}

function drawAll() { document.querySelectorAll("[data-plot]").forEach(draw); }

for (const input of document.querySelectorAll("[data-choose]")) {
  input.addEventListener("change", () =>
    draw(document.querySelector(`[data-plot="scores"][data-env="${input.dataset.env}"]`)));
}
const asked = window.matchMedia("(prefers-color-scheme: dark)");
function theme(name) { root.dataset.theme = name; drawAll(); }
document.getElementById("theme").addEventListener("click", () => theme(dark() ? "light" : "dark"));
asked.addEventListener("change", () => theme(asked.matches ? "dark" : "light"));
theme(asked.matches ? "dark" : "light");
