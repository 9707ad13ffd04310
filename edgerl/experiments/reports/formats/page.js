"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const { colours: LIGHT, ...style } = data.style; // as in the picture of a report
const DARK = ["#5fb3f5", "#ff9f5a", "#3fd0a4", "#ee8fc8", "#e3c341", "#9bd2f2", "#aab3c0", "#ff8a92"];
const LEDGERS = data.sections.flatMap((env) => env.variants.map((variant) => variant.ledger));
const PARTS = [...new Set(LEDGERS.flatMap((ledger) => Object.keys(ledger.planned)))];
const WORDS = { x: "agent steps" };

function dark() { return root.dataset.theme === "dark"; }
function colour(index) { const all = dark() ? DARK : LIGHT; return all[index % all.length]; }
function veil(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

// Breaks a long name into lines of about 24 letters, so that the axis leaves room for the plot. A name may
// hold any signs, and plotly reads some of them as tags: it is given entities in their place.
function wrapped(name) {
  return name.match(/\S{1,30}/g).reduce((lines, word) => {
    const last = lines[lines.length - 1];
    if (last.length + word.length < 24) lines[lines.length - 1] = last ? `${last} ${word}` : word;
    else lines.push(word);
    return lines;
  }, [""]).map((line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;")).join("<br>");
}

// What plotly shows of a point: a name, and the point's own values below it.
function pointLabel(name, values) { return `${wrapped(name)}<br>${values}<extra></extra>`; }

// The height in pixels of bars with these names, which are broken into lines: no name runs into the next.
function barsHeight(names) {
  return Math.max(220, 80 + names.length * (14 + 17 * Math.max(...names.map((name) => name.split("<br>").length))));
}

function layout(x, y, more = {}) {
  const [ink, line, card] = dark() ? ["#e7eaef", "#313a46", "#1c222b"] : ["#1d2430", "#dfe3e8", "#f6f7f9"];
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, exponentformat: "SI" };
  return {
    font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 55, r: 12, t: 8, b: 45 }, showlegend: false,
    hovermode: "closest", hoverlabel: { align: "left", bgcolor: card, font: { color: ink } },
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
    const near = name === "random" || score <= high + style.far * (high - low);
    const at = near ? { y: score, yanchor: "bottom" } : { yref: "paper", y: 1, yanchor: "top" };
    annotations.push({ ...at, xref: "paper", x: 0, xanchor: "left", showarrow: false, font: { color: ink, size: 11 },
      bgcolor: dark() ? "rgba(20,24,30,.7)" : "rgba(255,255,255,.7)",
      text: `${words} ${score.toLocaleString()}${near ? "" : " ↑"}` });
    lines.push(near ? score : high + style.room * (high - low));
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
  const veiled = Math.min(style.veil, style.veils / env.variants.length);
  env.variants.forEach((variant, index) => {
    const x = variant.x[chosen.axis], curve = variant[chosen.statistic], ink = colour(index), group = "v" + index;
    if (curve.low.some((value) => value !== null)) {
      traces.push({ x: [...x, ...[...x].reverse()], y: [...curve.high, ...[...curve.low].reverse()], fill: "toself",
        fillcolor: veil(ink, veiled), line: { width: 0 }, hoverinfo: "skip", legendgroup: group });
    }
    if (chosen.seeds && variant.seeds.length > 1) {
      for (const seed of variant.seeds) {
        traces.push({ x, y: seed.y, mode: "markers", marker: { size: 5, color: veil(ink, 0.55) }, legendgroup: group,
          hovertemplate: pointLabel(`${variant.name}, seed ${seed.seed}`, "%{y:,.1f} at %{x:,}") });
      }
    }
    const many = variant.seeds.length > 1 ? `${variant.seeds.length} seeds` : "one seed";
    traces.push({ x, y: curve.y, mode: "lines+markers", marker: { size: 4 }, line: { color: ink, width: 2.4 },
      name: `${variant.name} (${many})`, legendgroup: group, showlegend: true,
      customdata: curve.y.map((_, at) => curve.low[at] === null ? "" :
        ` [${curve.low[at].toLocaleString()}, ${curve.high[at].toLocaleString()}]`),
      hovertemplate: pointLabel(variant.name, "%{y:,.1f}%{customdata} at %{x:,}") });
    for (const { [chosen.axis]: at } of env.hidden.has(group) ? [] : variant.freezes) {
      shapes.push({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1,
        line: { color: ink, width: 1.3, dash: "dot" } });
    }
  });
  if (lines.length) { // unseen points make room for the lines
    traces.push({ x: lines.map(() => 0), y: lines, mode: "markers", marker: { opacity: 0 }, hoverinfo: "skip" });
  }
  return [traces, layout(env.axes[chosen.axis], "score", { shapes, annotations })];
}

function overTime(env, name, label, unit, extra) {
  const traces = [], shapes = [];
  env.variants.forEach((variant, index) => {
    const mode = variant[name].x.length < style.few ? "lines+markers" : "lines";
    traces.push({ ...variant[name], mode, line: { color: colour(index), width: 2 }, legendgroup: "v" + index,
      hovertemplate: pointLabel(variant.name, `%{y:,} ${unit} at step %{x:,}`) });
    extra(variant, colour(index), traces, shapes, "v" + index);
  });
  return [traces, layout(WORDS.x, label, { shapes, yaxis: { rangemode: "tozero" } })];
}

function rows(env) {
  return overTime(env, "rows", "rows", "rows", (variant, ink, traces, shapes, group) => {
    traces.push({ ...variant.capacity, mode: "lines", line: { color: ink, width: 1.4, dash: "dot" },
      legendgroup: group, hovertemplate: pointLabel(variant.name, "%{y:,} rows fit") });
  });
}

function memory(env) {
  return overTime(env, "memory", "MB", "MB", (variant, ink, traces, shapes, group) => {
    if (variant.limit && !env.hidden.has(group)) {
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: variant.limit, y1: variant.limit,
        line: { color: ink, width: 1.4, dash: "dash" } });
    }
  });
}

// Rows of bars, a row for each name: traces whose bars have `y` 0, 1, 2 and so on.
function bars(names, traces, x, barmode) {
  const rows = names.map(wrapped);
  const yaxis = { autorange: "reversed", showgrid: false, zeroline: false, tickvals: [...rows.keys()], ticktext: rows };
  const shared = { type: "bar", orientation: "h", showlegend: true };
  return [traces.map((trace, index) => ({ ...shared, ...trace, legendgroup: trace.name,
    marker: { color: colour(index), ...trace.marker } })), layout(x, "", { barmode, yaxis }), barsHeight(rows)];
}

function ledger(env) {
  const y = env.variants.flatMap((_, row) => [row - 0.2, row + 0.2]);
  const kinds = ["planned", "measured"];
  const traces = PARTS.map((part) => ({
    name: part, y, width: 0.36, marker: { opacity: y.map((_, bar) => bar % 2 ? 1 : 0.5) },
    x: env.variants.flatMap((variant) => kinds.map((kind) => variant.ledger[kind][part] || 0)),
    customdata: y.map((_, bar) => kinds[bar % 2]), hovertemplate: pointLabel(part, "%{x:,.1f} MB %{customdata}"),
  }));
  return bars(env.variants.map((variant) => variant.name), traces, "MB", "relative");
}

function speed(env) {
  const traces = ["before the freeze", "after it"].map((when, index) => ({
    name: when, y: [...env.variants.keys()], x: env.variants.map((variant) => variant.speed[index]),
    hovertemplate: pointLabel(when, "%{x:,.1f} steps/s"),
  }));
  return bars(env.variants.map((variant) => variant.name), traces, "steps/s", "group");
}

function reaching(env) {
  const traces = [["own", "its own final score"], ["other", "the other's"]].map(([key, words]) => ({
    name: words, y: [...env.reaching.keys()], x: env.reaching.map((variant) => variant[key]),
    hovertemplate: pointLabel(words, "%{x:.3s} multiply-adds"),
  }));
  return bars(env.reaching.map((variant) => variant.name), traces, "multiply-adds", "group");
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
      legendgroup: group, showlegend: true,
      line: { color: ink, width: 2, dash: layer.part === "stem" ? "solid" : "dash" },
      hovertemplate: pointLabel(`${layer.name} (${layer.part})`, "%{y:.3f} from step %{x:,}") });
    if (layer.untrained !== null) {
      traces.push({ x: [0, last], y: [layer.untrained, layer.untrained], mode: "lines",
        legendgroup: group, line: { color: veil(ink, 0.45), width: 1, dash: "dot" },
        hovertemplate: pointLabel(`${layer.name}, untrained`, "%{y:.3f}") });
    }
  });
  return [traces, layout(WORDS.x, "SVCCA", { ...marks(analysis, analysis.similarity),
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

function inkOf(trace) { return (trace.line || trace.marker).color; }

function draw(element) {
  const index = Number(element.dataset.env), env = data.sections[index];
  const [traces, shape, height] = PLOTS[element.dataset.plot](env, chosenOf(index), Number(element.dataset.run));
  if (height) element.style.height = `${height}px`;
  for (const trace of traces) {
    trace.visible = !env.hidden.has(trace.legendgroup);
    trace.hoverlabel = { bordercolor: inkOf(trace) };
  }
  showNames(element, traces.filter((trace) => trace.showlegend), env);
  Plotly.react(element, traces, shape, { responsive: true, displayModeBar: false, showTips: false, doubleClickDelay: 500 });
}

// The names beside their colours, as buttons: plotly's own legend breaks no long name and covers a narrow plot.
function showNames(element, traces, env) {
  const names = element.previousElementSibling, all = traces.map((trace) => trace.legendgroup);
  while (names.children.length < traces.length) names.append(document.createElement("button"));
  traces.forEach((trace, index) => {
    const button = names.children[index], group = trace.legendgroup;
    button.type = "button";
    button.textContent = trace.name;
    button.setAttribute("aria-pressed", !env.hidden.has(group));
    button.style.setProperty("--ink", inkOf(trace));
    button.style.setProperty("--dash", trace.line?.dash === "dash" ? "dashed" : "solid");
    button.onclick = () => { env.hidden.delete(group) || env.hidden.add(group); drawSection(element); };
    button.ondblclick = () => {
      const others = all.filter((other) => other !== group), alone = others.every((other) => env.hidden.has(other));
      for (const other of others) env.hidden[alone ? "delete" : "add"](other);
      env.hidden.delete(group);
      drawSection(element);
    };
  });
}

function drawSection(element) {
  document.querySelectorAll(`[data-plot][data-env="${element.dataset.env}"]`).forEach(draw);
}

function drawAll() { document.querySelectorAll("[data-plot]").forEach(draw); }

for (const env of data.sections) env.hidden = new Set(); // the groups of lines and bars that the reader has hidden
// Plotly sees no touch, only the clicks that a browser makes of taps: a swipe scrolls, two fingers enlarge the page.
for (const element of document.querySelectorAll("[data-plot]")) {
  element.addEventListener("touchstart", (event) => event.stopPropagation(), { capture: true, passive: true });
}
for (const input of document.querySelectorAll("[data-choose]")) {
  input.addEventListener("change", () =>
    draw(document.querySelector(`[data-plot="scores"][data-env="${input.dataset.env}"]`)));
}
const asked = window.matchMedia("(prefers-color-scheme: dark)");
function theme(name) { root.dataset.theme = name; drawAll(); }
document.getElementById("theme").addEventListener("click", () => theme(dark() ? "light" : "dark"));
asked.addEventListener("change", () => theme(asked.matches ? "dark" : "light"));
theme(asked.matches ? "dark" : "light");
