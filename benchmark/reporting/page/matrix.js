// The pairwise tests of each table, drawn when it is opened.

const CORRECTIONS = { none: 'not corrected for their number', holm: 'corrected by Holm', bh: 'corrected by Benjamini–Hochberg' };
const TESTS = { student: 'Student’s independent t-test', welch: 'Welch’s t-test' };

function drawMatrix(details) {
  const { test, correction } = Object.fromEntries(new FormData(find('#choices')));
  const block = details.dataset.block, drawnAs = `${test} ${correction}`;
  if (details.dataset.drawn === drawnAs) return;
  const { models, direction, mean, n, family, p } = data().pairs[block], values = p[test][correction], size = models.length;
  const at = (one, two) => {
    const [low, high] = one < two ? [one, two] : [two, one];
    return values[low * size - (low * (low + 1)) / 2 + high - low - 1];
  };
  const rows = models.map((model, one) => make('tr', {}, make('th', { scope: 'row', title: `${model}, ${n[one]} runs` }, model),
    models.map((other, two) => {
      if (one === two) return make('td', { class: 'self', 'aria-label': 'itself' });
      const pairP = at(one, two), gain = mean[one] - mean[two], sure = isKnown(pairP) && pairP < SIGNIFICANT;
      const verdict = sure ? (gain * direction > 0 ? 'better' : 'worse') : null;
      const short = pText(pairP);
      return make('td', { class: verdict, title: `${model} − ${other}: ${signed(gain)}, p ${pValue(pairP)}` },
        ({ better: '▲ ', worse: '▼ ' }[verdict] ?? '') + short);
    })));
  const caption = `p of ${TESTS[test]}, ${CORRECTIONS[correction]}. The family: ${family} tests, all pairs of models in this table with at least two runs each. Row minus column.`;
  const region = make('div', { class: 'scroll tall', role: 'region', tabindex: 0, 'aria-label': `Tests, ${find('summary', details).textContent.trim()}` },
    make('table', {}, make('caption', {}, caption),
      make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, make('span', {}, 'Model')),
        models.map((model) => make('th', { scope: 'col', title: model }, make('span', {}, model))))),
      make('tbody', {}, rows)));
  find('.drawn', details).replaceChildren(region);
  details.dataset.drawn = drawnAs;
}

function startMatrices() {
  const blocks = all('details.matrix'), form = find('#choices');
  form.hidden = false;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('change', () => blocks.filter((one) => one.open).forEach(drawMatrix));
  const seen = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
    if (isIntersecting && target.open) drawMatrix(target);
  }), { rootMargin: '400px' });
  blocks.forEach((one) => {
    seen.observe(one);
    one.addEventListener('toggle', () => { if (one.open) drawMatrix(one); });
  });
}
