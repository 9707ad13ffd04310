// Draws the game, what the agent sees, what it thinks, and how its games ended.

import { FRAMES, SIDE } from "./catch.js";

const SHOWN = 20; // games

/** Draw the newest frame on the first canvas, and all frames on the canvases after it, which are made if missing. */
export function drawFrames(board, frames, window) {
  while (frames.children.length < FRAMES) frames.append(canvas());
  drawFrame(board, window, FRAMES - 1);
  [...frames.children].forEach((place, index) => drawFrame(place, window, index));
}

function canvas() {
  const made = document.createElement("canvas");
  made.width = SIDE;
  made.height = SIDE;
  return made;
}

function drawFrame(place, window, index) {
  const image = new ImageData(SIDE, SIDE);
  const offset = index * SIDE * SIDE;
  for (let pixel = 0; pixel < SIDE * SIDE; pixel += 1) {
    const gray = window[offset + pixel];
    image.data.set([gray, gray, gray, 255], 4 * pixel);
  }
  place.getContext("2d").putImageData(image, 0, 0);
}

/** Say on the screen how a game ended, once it has. */
export function drawOutcome(screen, game) {
  const outcome = game.reward > 0 ? "caught" : "missed";
  screen.dataset.outcome = game.done ? outcome : "";
}

/** Draw the value of each action as a bar from zero, and mark the action that is chosen. */
export function drawValues(list, meanings, { action, values }) {
  while (list.children.length < values.length) list.append(bar(meanings[list.children.length]));
  [...list.children].forEach((row, index) => {
    const value = values[index];
    const end = Math.min(Math.max(value, -1), 1);
    row.classList.toggle("chosen", index === action);
    row.querySelector(".fill").style.left = `${50 + 50 * Math.min(end, 0)}%`;
    row.querySelector(".fill").style.width = `${50 * Math.abs(end)}%`;
    row.querySelector(".value").textContent = signed(value);
  });
}

function bar(meaning) {
  const row = document.createElement("li");
  for (const name of ["meaning", "track", "value"]) row.append(span(name));
  row.querySelector(".meaning").textContent = meaning;
  row.querySelector(".track").append(span("fill"));
  return row;
}

function span(name) {
  const made = document.createElement("span");
  made.className = name;
  return made;
}

const signed = (value) => `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(2)}`;

/** Count the games, and draw a dot for each of the last ones. */
export function drawGames(score, history, outcomes) {
  score.querySelector(".caught").textContent = outcomes.filter(Boolean).length;
  score.querySelector(".games").textContent = outcomes.length;
  const dots = outcomes.slice(-SHOWN).map((caught) => span(caught ? "caught" : "missed"));
  history.replaceChildren(...dots);
}
