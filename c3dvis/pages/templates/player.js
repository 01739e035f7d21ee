"use strict";
// Plays film strips: one clock for all clips, which moves those on screen; a clip that was clicked
// or stepped has its own.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const controls = document.querySelector(".controls");
const [play, slider, number] = controls.querySelectorAll(".play, .frame, .number");
const films = [...document.querySelectorAll("[data-frames]")];
const clips = films.filter((film) => film.matches(".clip"));
const seen = new Set(), own = new Map();
const count = Number(slider.max) + 1;
let frame = 0, playing = !still.matches, timer = null;

const of = (clip) => own.get(clip) ?? { frame, playing };

function draw(clip) {
  const frames = Number(clip.dataset.frames);
  const at = (of(clip).frame % frames + frames) % frames;
  clip.firstElementChild.style.objectPosition = `${100 * at / Math.max(frames - 1, 1)}% 0`;
  const slices = sliceOf(clip);
  if (slices) {
    slices.value = at;
    slices.nextElementSibling.textContent = `${at} / ${frames - 1}`;
  }
}
function drawAll() {
  slider.value = frame;
  number.textContent = `${frame} / ${count - 1}`;
  seen.forEach(draw);
}
function tick() {
  if (playing) frame = (frame + 1) % count;
  for (const one of own.values()) if (one.playing) one.frame += 1;
  drawAll();
}
function run() {
  play.setAttribute("aria-pressed", playing);
  for (const clip of clips) clip.setAttribute("aria-pressed", of(clip).playing);
  const moves = playing || [...own.values()].some((one) => one.playing);
  if (moves && timer === null) timer = setInterval(tick, 1000 / Number(controls.dataset.fps));
  if (!moves) timer = clearInterval(timer) ?? null;
}
// Puts all clips at a frame; every clip's own time is given up.
function setAll(at, on) {
  const changes = on !== playing || own.size;
  own.clear();
  frame = (at % count + count) % count;
  playing = on;
  if (changes) run();
  drawAll();
}
function setOne(clip, at, on) {
  own.set(clip, { frame: at, playing: on });
  run();
  draw(clip);
}
// Clips with a slider of their own, as volumes have, stand at their middle.
const sliceOf = (clip) => clip.parentElement.querySelector(".slice");
function center() {
  for (const clip of clips.filter(sliceOf)) setOne(clip, clip.dataset.frames >> 1, false);
}
const reset = () => { setAll(0, !still.matches); center(); };

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) draw(target);
    seen[isIntersecting ? "add" : "delete"](target);
  }
});
for (const clip of clips) clip.title = "Play or pause this clip; arrow keys step";
for (const film of films) observer.observe(film);

play.addEventListener("click", () => setAll(frame, !playing));
slider.addEventListener("input", () => setAll(Number(slider.value), false));
document.addEventListener("input", ({ target }) => {
  if (target.matches(".slice")) setOne(target.closest("figure").querySelector(".clip"), Number(target.value), false);
});
document.addEventListener("click", (event) => {
  const clip = event.target.closest(".clip[data-frames]");
  if (clip) setOne(clip, of(clip).frame, !of(clip).playing);
});
document.addEventListener("keydown", (event) => {
  const { key, target } = event, by = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (event.ctrlKey || event.altKey || event.metaKey || target.closest("dialog, [type=search]")) return;
  if (key === "Escape") return reset();
  if (target.closest("input, select") || (key === " " && target.closest("a, button, summary"))) return;
  if (key !== " " && !by) return;
  event.preventDefault();
  const clip = target.closest(".clip[data-frames]");
  if (key === " ") setAll(frame, !playing);
  else if (clip) setOne(clip, of(clip).frame + by, false);
  else setAll(frame + by, false);
});
still.addEventListener("change", reset);
controls.hidden = false;
for (const label of document.querySelectorAll(".slices")) label.hidden = false;
run();
center();
drawAll();
