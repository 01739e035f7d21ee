"use strict";
const root = document.documentElement, play = document.getElementById("play");
const slider = document.getElementById("frame");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const clips = [...document.querySelectorAll(".clip.moving")];

const allPlay = () => root.dataset.play ? root.dataset.play === "on" : !still.matches;
const plays = (clip) => clip.dataset.play ? clip.dataset.play === "on" : allPlay();

function label() {
  play.textContent = allPlay() ? "Pause" : "Play";
}
function setAll(on) {
  root.dataset.play = on ? "on" : "off";
  for (const clip of clips) delete clip.dataset.play;
  label();
}
// Puts a clip at a frame: an animation's time can be set whether it runs or not.
function seek(clip, frame) {
  const count = Number(clip.style.getPropertyValue("--frames"));
  for (const animation of clip.firstElementChild.getAnimations()) {
    const { duration } = animation.effect.getTiming();
    animation.currentTime = (((frame % count) + count) % count + 0.5) / count * duration;
  }
}
function frameOf(clip) {
  const [animation] = clip.firstElementChild.getAnimations();
  if (!animation) return 0;
  const { progress } = animation.effect.getComputedTiming();
  return Math.floor(progress * Number(clip.style.getPropertyValue("--frames")));
}

play.addEventListener("click", () => setAll(!allPlay()));
slider.addEventListener("input", () => {
  setAll(false);
  for (const clip of clips) seek(clip, Number(slider.value));
});
for (const clip of clips) {
  clip.addEventListener("click", () => { clip.dataset.play = plays(clip) ? "off" : "on"; });
  clip.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const frame = frameOf(clip) + by;
    clip.dataset.play = "off";
    seek(clip, frame);
  });
}
still.addEventListener("change", label);
document.querySelector(".controls").hidden = false;
label();
