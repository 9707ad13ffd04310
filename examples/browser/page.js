// The page: one game after another, and what the agent thinks of each frame.

import { describe } from "./about.js";
import { Catch } from "./catch.js";
import { drawFrames, drawGames, drawOutcome, drawValues } from "./drawing.js";

const ENV = "toy/catch";
const RATES = [1, 2, 5, 10, 20, 60]; // steps a second
const LINGER = 3; // steps for which the end of a game is shown
const TIMED = 50; // actions

const element = (id) => document.getElementById(id);
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const game = new Catch();
const outcomes = []; // of finished games: true if the block was caught
const durations = []; // milliseconds that each action took
let policy;
let thought; // action and values for the newest frame
let work = Promise.resolve(); // one thing at a time: a step may still run when a button is pressed
let playing = false;
let rounds = 0; // of playing: an older loop ends when a newer one begins

async function think() {
  const start = performance.now();
  thought = await policy.act(game.window);
  durations.push(performance.now() - start);
  drawValues(element("values"), policy.about.action.meanings, thought);
  element("time").textContent = `${median(durations.slice(-TIMED)).toFixed(1)} ms`;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

function draw() {
  drawFrames(element("board"), element("frames"), game.window);
  drawOutcome(element("screen"), game);
  drawGames(element("score"), element("history"), outcomes);
}

async function begin() {
  game.reset();
  await think();
  draw();
}

async function advance() {
  if (game.done) return begin();
  game.step(thought.action);
  if (game.done) outcomes.push(game.reward > 0);
  else await think();
  return draw();
}

/** Do something after all that is being done. */
function queue(task) {
  work = work.then(task).catch(fail);
  return work;
}

async function play() {
  rounds += 1;
  const round = rounds;
  while (playing && round === rounds) {
    await queue(advance);
    await sleep(((game.done ? LINGER : 1) * 1000) / rate());
  }
}

function setPlaying(wanted) {
  playing = wanted;
  element("play").textContent = playing ? "Pause" : "Play";
  element("step").disabled = playing;
  if (playing) play();
}

const rate = () => RATES[element("speed").value];

function showRate() {
  element("rate").textContent = `${rate()} steps/s`;
}

function fail(error) {
  element("status").textContent = error.message;
  element("status").hidden = false;
  setPlaying(false);
}

async function loadPolicy() {
  const { Policy } = await import("./policy.js").catch(() => {
    throw new Error("onnxruntime-web is missing: run npm install in this folder, and load the page again.");
  });
  const loaded = await Policy.load("policy.onnx").catch((error) => {
    throw new Error(`policy.onnx cannot be played: ${error.message}.`);
  });
  if (loaded.about.env !== ENV) {
    throw new Error(`policy.onnx cannot be played: it was trained on ${loaded.about.env}, and this page plays ${ENV}.`);
  }
  return loaded;
}

async function open() {
  policy = await loadPolicy();
  describe(element("about").querySelector("dl"), policy);
  showRate();
  element("speed").addEventListener("input", showRate);
  element("play").addEventListener("click", () => setPlaying(!playing));
  element("step").addEventListener("click", () => queue(advance));
  element("new").addEventListener("click", () => queue(begin));
  await begin();
  element("status").hidden = true;
  document.querySelector("main").hidden = false;
  setPlaying(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}

open().catch(fail);
