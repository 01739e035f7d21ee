// Asks one question after the other, keeps the answers, and counts them at the end.
const test = JSON.parse(document.querySelector("#test").textContent);
const asked = [...document.querySelectorAll(".question")];
const result = document.querySelector(".result");
const key = `c3dvis-${test.id}`;
let answers = kept(), since = 0;

// Browsers can keep pages of files from storing anything: the answers then live as long as the page.
function kept() {
  try { return JSON.parse(localStorage.getItem(key)) ?? []; } catch { return []; }
}
function keep() {
  try { localStorage.setItem(key, JSON.stringify(answers)); } catch { /* they are on the page */ }
}
function show(moved) {
  const now = answers.length;
  for (const [number, section] of asked.entries()) section.hidden = number !== now;
  result.hidden = now < asked.length;
  if (!result.hidden) tell();
  since = performance.now();
  const section = asked[now] ?? result;
  if (moved) section.querySelector("h2").focus({ preventScroll: true });
  if (moved) window.scrollTo(0, 0);
}
function answer(chosen) {
  if (answers.length >= asked.length) return;
  const seconds = Math.round(performance.now() - since) / 1000;
  answers.push({ chosen, right: chosen === test.questions[answers.length].right, seconds });
  keep();
  show(true);
}
function back() {
  answers.pop();
  keep();
  show(true);
}
// Wilson 1927: the shares that a score test at 95% does not refuse.
function wilson(right, total) {
  const z = 1.959964, share = right / total, scale = 1 + z * z / total;
  const middle = (share + z * z / (2 * total)) / scale;
  const half = z * Math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / scale;
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
const percent = (share) => `${Math.round(100 * share)}%`;
function tally(wanted) {
  const own = answers.filter((_, number) => wanted(test.questions[number]));
  return { right: own.filter((one) => one.right).length, total: own.length };
}
function inWords({ right, total }) {
  const [low, high] = wilson(right, total);
  return `${right} of ${total} right (${percent(right / total)}, 95% interval ${percent(low)} to ${percent(high)})`;
}
function tell() {
  const by = (kind) => tally((question) => question.explanation === kind);
  result.querySelector(".total").textContent =
    `${inWords(tally(() => true))}. By synthetic clips ${inWords(by("synthetic"))}; by real clips ${inWords(by("real"))}.`;
  const units = new Map(test.questions.map(({ unit }) => [unit.title, unit]));
  const rows = [...units].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([title, unit]) => {
    const row = document.createElement("tr");
    const cells = [title];
    for (const kind of ["synthetic", "real"]) {
      const { right, total } = tally((one) => one.unit.title === title && one.explanation === kind);
      const machine = unit.video_mis[kind];
      cells.push(`${right} of ${total}`, machine === null ? "–" : percent(machine));
    }
    for (const [place, text] of cells.entries()) {
      const cell = document.createElement(place ? "td" : "th");
      if (!place) cell.scope = "row";
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  });
  result.querySelector("tbody").replaceChildren(...rows);
  const content = JSON.stringify({ schema: 1, test: test.id, seed: test.seed, gallery: test.gallery,
    answers: answers.map((one, number) => ({ question: number, ...one })) }, null, 1);
  const save = result.querySelector(".save");
  save.href = `data:application/json,${encodeURIComponent(content)}`;
  save.download = `answers-${test.id}.json`;
}
document.addEventListener("click", ({ target }) => {
  if (target.matches(".answer")) answer(Number(target.dataset.answer));
  if (target.matches(".back")) back();
  if (target.matches(".again")) { answers = []; keep(); show(true); }
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.key === "1" || event.key === "2") answer(Number(event.key) - 1);
  if (event.key === "Backspace" && answers.length && answers.length < asked.length) back();
});
show(false);
