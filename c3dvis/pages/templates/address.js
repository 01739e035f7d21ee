// What is chosen stands in the address, behind a "?" of its hash: a link shows the same, and the
// back button what was chosen before.
const inAddress = () => new URLSearchParams(location.hash.replace(/^[^?]*\??/, ""));
const placeInAddress = () => location.hash.replace(/^#|\?.*$/g, "");
function keepInAddress(choice, replace = false) {
  const hash = [placeInAddress(), choice.toString()].join("?").replace(/\?$/, "");
  const address = location.href.replace(/#.*$/, "") + (hash && `#${hash}`);
  if (address !== location.href) history[replace ? "replaceState" : "pushState"](null, "", address);
}
