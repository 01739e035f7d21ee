// Shows the pictures that are chosen, in the parts of the page or all side by side.
{
  const chooser = document.querySelector(".choose");
  const [find, details, beside, shown] = chooser.querySelectorAll(".find, details, .beside, .shown");
  const kinds = [...chooser.querySelectorAll("fieldset")];
  const pictures = [...document.querySelectorAll("figure")].map((figure) => ({
    figure,
    facets: JSON.parse(figure.dataset.facets),
    text: figure.textContent.toLowerCase(),
  }));
  const update = () => {
    const wanted = kinds.map((one) =>
      [one.dataset.kind, new Set([...one.querySelectorAll("input:checked")].map((box) => Number(box.value)))]);
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { figure, facets, text } of pictures) {
      const chosen = wanted.every(([kind, values]) => !(kind in facets) || values.has(facets[kind]));
      figure.hidden = !chosen || !words.every((word) => text.includes(word));
      count += !figure.hidden;
    }
    // A part whose pictures are all left out goes, too; parts of texts alone stay.
    for (const part of document.querySelectorAll("main > section")) {
      const own = [...part.querySelectorAll("figure")];
      part.hidden = own.length > 0 && own.every((one) => one.hidden);
    }
    document.querySelector("main").classList.toggle("beside", beside.checked);
    shown.textContent = `${count} of ${pictures.length} shown`;
  };
  const nameOf = (box) => box.parentElement.textContent.trim();
  const keep = (replace) => {
    const choice = new URLSearchParams();
    if (find.value) choice.set("find", find.value);
    for (const one of kinds) {
      const boxes = [...one.querySelectorAll("input")];
      const names = boxes.filter((box) => box.checked).map(nameOf);
      if (names.length === boxes.length) continue;
      for (const name of names.length ? names : [""]) choice.append(one.dataset.kind, name);
    }
    if (beside.checked) choice.set("beside", "yes");
    keepInAddress(choice, replace);
  };
  const restore = () => {
    const choice = inAddress();
    find.value = choice.get("find") ?? "";
    beside.checked = choice.has("beside");
    for (const one of kinds) {
      const names = choice.getAll(one.dataset.kind);
      for (const box of one.querySelectorAll("input")) box.checked = !names.length || names.includes(nameOf(box));
    }
    update();
  };
  // What is typed is one step for the back button, however many letters it has.
  let typing = false;
  chooser.addEventListener("input", ({ target }) => {
    update();
    keep(typing && target === find);
    typing = target === find;
  });
  chooser.addEventListener("click", ({ target }) => {
    if (!target.matches(".every, .no")) return;
    const boxes = target.closest("fieldset").querySelectorAll("input");
    for (const box of boxes) box.checked = target.matches(".every");
    update();
    keep(typing = false);
  });
  document.addEventListener("click", ({ target }) => {
    if (!details.contains(target)) details.open = false;
  });
  document.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || !details.open) return;
    details.open = false;
    details.querySelector("summary").focus();
  });
  // Links lead to parts as they stand on the page, and leave what is chosen as it is.
  let followed = null;
  document.querySelector("main").addEventListener("click", ({ target }) => {
    const link = target.closest("a[href^='#']");
    if (!link) return;
    followed = link.hash;
    if (beside.checked) { beside.checked = false; update(); }
  });
  addEventListener("hashchange", () => {
    if (location.hash === followed) keep(true);
    else restore();
    followed = null;
    typing = false;
  });
  chooser.hidden = false;
  restore();
  if (location.hash.includes("?")) document.getElementById(placeInAddress())?.scrollIntoView();
}
