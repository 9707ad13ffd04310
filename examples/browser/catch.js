// The rules of toy/catch, once more: the windows are those of edgerl/envs/toy.py, bit for bit.

export const SIDE = 84; // pixels
export const FRAMES = 4; // in a window
const CELL = 12; // pixels
const CELLS = SIDE / CELL;
const PIXELS = SIDE * SIDE;
const BLOCK = 255; // gray
const PADDLE = 160;

/** Move left (0), stay (1) or move right (2) until the block reaches the bottom row; reward 1 if caught, -1 if not. */
export class Catch {
  /** What the agent sees: gray frames, newest last, [FRAMES, SIDE, SIDE]. */
  window = new Uint8Array(FRAMES * PIXELS);

  /** Begin a game; `column` is where the block falls. */
  reset(column = Math.floor(Math.random() * CELLS)) {
    this.row = 0;
    this.column = column;
    this.paddle = Math.floor(CELLS / 2);
    this.reward = 0;
    this.done = false;
    this.window.fill(0);
    this.#draw();
  }

  step(action) {
    this.row += 1;
    this.paddle = Math.min(Math.max(this.paddle + action - 1, 0), CELLS - 1);
    this.window.copyWithin(0, PIXELS);
    this.#draw();
    this.done = this.row === CELLS - 1;
    if (this.done) this.reward = this.paddle === this.column ? 1 : -1;
  }

  #draw() {
    const frame = this.window.subarray(-PIXELS);
    frame.fill(0);
    fillCell(frame, this.row, this.column, BLOCK);
    fillCell(frame, CELLS - 1, this.paddle, PADDLE);
  }
}

function fillCell(frame, row, column, gray) {
  for (let y = row * CELL; y < (row + 1) * CELL; y += 1) {
    frame.fill(gray, y * SIDE + column * CELL, y * SIDE + (column + 1) * CELL);
  }
}
