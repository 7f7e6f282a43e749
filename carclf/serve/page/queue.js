/** Work done a few at a time, and tries again while the server is busy. */

const AT_ONCE = 3; // keeps the server's batches full, and leaves most of its queue to others
const MOST_TRIES = 6;
const [LEAST_WAIT, MOST_WAIT] = [1, 60]; // seconds; the server never asks for more

/**
 * @param {function(Object): Promise<void>} work done for each item; sees to its own errors
 * @returns {{add: function(Object)}}
 */
export function makeQueue(work) {
  const waiting = [];
  let running = 0;

  async function next() {
    if (running >= AT_ONCE || !waiting.length) return;
    running++;
    try {
      await work(waiting.shift());
    } finally {
      running--;
      next();
    }
  }
  return {
    add(item) {
      waiting.push(item);
      next();
    },
  };
}

/**
 * Calls `ask` again while the server says that it is busy (503).
 * @param {function(): Promise} ask
 * @param {function(number)} onWait told the seconds until the next try
 * @param {AbortSignal} [signal] ends the waiting
 */
export async function patiently(ask, onWait, signal) {
  for (let tries = 1; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (error.status !== 503 || tries === MOST_TRIES) throw error;
      const seconds = Math.min(Math.max(error.waitSeconds, LEAST_WAIT), MOST_WAIT);
      onWait(Math.round(seconds));
      await pause(seconds + Math.random() / 2, signal); // not all at the same moment
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("Removed.", "AbortError"));
    });
  });
}
