// A name for this tab that a reload keeps, and that a copy of the tab does not share.

const TRIES = 5;
const PAUSE = 60;

/** Resolves to the tab's name. */
export async function tabName(project) {
  const place = `aral:${project}:tab`;
  const kept = sessionStorage.getItem(place);
  // A copied tab brings the name of the other along; the lock shows that it is taken. Right after a reload the
  // old page may hold it for a moment.
  for (let attempt = 0; kept && attempt < TRIES; attempt += 1) {
    if (await claimed(`${place}:${kept}`)) return kept;
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem(place, fresh);
  await claimed(`${place}:${fresh}`);
  return fresh;
}

/** Take a lock for as long as the page lives; whether nobody else had it. */
function claimed(name) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((answer) => {
    navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      answer(lock !== null);
      return lock ? new Promise(() => {}) : null;
    });
  });
}
