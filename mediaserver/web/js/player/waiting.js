/** Resolves when `name` fires on `target`; rejects with the signal's reason when aborted first. */
export function once(target, name, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const done = () => {
      signal.removeEventListener('abort', aborted);
      resolve();
    };
    const aborted = () => {
      target.removeEventListener(name, done);
      reject(signal.reason);
    };
    target.addEventListener(name, done, { once: true });
    signal.addEventListener('abort', aborted, { once: true });
  });
}

/** Resolves after `seconds`, or at once when aborted: whoever waits looks at the signal anyway. */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener('abort', done, { once: true });
  });
}
