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
  chooser.addEventListener("input", update);
  chooser.addEventListener("click", ({ target }) => {
    if (!target.matches(".every, .no")) return;
    const boxes = target.closest("fieldset").querySelectorAll("input");
    for (const box of boxes) box.checked = target.matches(".every");
    update();
  });
  document.addEventListener("click", ({ target }) => {
    if (!details.contains(target)) details.open = false;
  });
  document.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || !details.open) return;
    details.open = false;
    details.querySelector("summary").focus();
  });
  // Links lead to parts as they stand on the page.
  document.querySelector("main").addEventListener("click", ({ target }) => {
    if (target.closest("a[href^='#']") && beside.checked) { beside.checked = false; update(); }
  });
  chooser.hidden = false;
  update();
}
