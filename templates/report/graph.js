// The page is whole without this: it adds the filter, what is near a pod, and the drawing's size.
"use strict";
(() => {
  const svg = document.querySelector("svg.pods");
  const frame = document.querySelector(".drawing");
  const filter = document.getElementById("filter");
  const found = document.getElementById("found");
  const articles = [...document.querySelectorAll("article")];
  const cards = [...svg.querySelectorAll("[data-pod]")];
  const edges = [...svg.querySelectorAll(".edge")];

  function choose(card) {
    svg.classList.toggle("chosen", Boolean(card));
    for (const one of [...cards, ...edges]) one.classList.remove("near");
    if (!card) return;
    const pod = card.dataset.pod;
    const near = new Set([pod]);
    for (const edge of edges) {
      if (edge.dataset.from !== pod && edge.dataset.to !== pod) continue;
      edge.classList.add("near");
      near.add(edge.dataset.from).add(edge.dataset.to);
    }
    for (const one of cards) if (near.has(one.dataset.pod)) one.classList.add("near");
  }
  for (const card of cards) {
    card.addEventListener("mouseenter", () => choose(card));
    card.addEventListener("mouseleave", () => choose(null));
    card.addEventListener("focus", () => choose(card));
    card.addEventListener("blur", () => choose(null));
  }

  function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    articles.forEach((article, place) => {
      const text = article.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      article.hidden = !fits;
      cards[place].classList.toggle("hidden", !fits);
      if (fits) count += 1;
    });
    found.textContent = words.length ? `${count} of ${articles.length} pods` : "";
  }
  filter.addEventListener("input", sift);

  const wide = Number(svg.getAttribute("width"));
  const tall = Number(svg.getAttribute("height"));
  // a small screen begins with a drawing that can still be read
  const fit = Math.min(1, Math.max(0.55, (frame.clientWidth - 2) / wide));
  let scale = fit;
  function size(to) {
    scale = Math.min(3, Math.max(0.2, to));
    svg.setAttribute("width", Math.round(wide * scale));
    svg.setAttribute("height", Math.round(tall * scale));
  }
  size(fit);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === filter) {
      if (event.key === "Escape") { filter.value = ""; sift(); filter.blur(); }
      return;
    }
    if (event.key === "/") { event.preventDefault(); filter.focus(); }
    else if (event.key === "+" || event.key === "=") size(scale * 1.2);
    else if (event.key === "-") size(scale / 1.2);
    else if (event.key === "0") size(fit);
  });
})();
