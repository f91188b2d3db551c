// A cell of the grid in a dialog, opened and linked by the page's address: #cell/TABLE/MODEL.

const HEADS = { timings: 'seconds', images_per_second: 'images/s', peak_memory_gb: 'peak memory (GB)' };

function runsOf(cell) {
  const names = data().run;
  return cell.runs.map((values) => Object.fromEntries(names.map((name, index) => [name, values[index]])));
}

const runName = (run) => `seed ${run.seed}` + (isKnown(run.fold) ? `, fold ${run.fold}` : '');
const epochsOf = (run) => run.epochs || run[run.loss.length ? 'loss' : 'validation'].map((_, index) => index + 1);

function plots(block, model, cell, runs) {
  const sets = [[model, runs.map((run) => run.score), cell.summary.mean, cell.summary.sd, true]];
  const baseline = model === block.baseline ? null : block.cells[block.baseline];
  if (baseline && isKnown(baseline.summary.mean)) {
    sets.push([`${block.baseline} (baseline)`, runsOf(baseline).map((run) => run.score), baseline.summary.mean, baseline.summary.sd, false]);
  }
  const figures = [];
  const add = (title, svg) => figures.push(make('figure', {}, svg, make('figcaption', {}, title)));
  if (isKnown(cell.summary.mean)) add(`Runs, ${block.metric}`, dots(sets, `Scores of the runs of ${model}`));
  for (const [name, title] of [['loss', 'Validation loss'], ['validation', `Validation ${block.metric}`]]) {
    const lines = runs.filter((run) => run[name].length).map((run) => ({
      name: `${runName(run)}: best epoch ${run.best_epoch}`, epochs: epochsOf(run), values: run[name], best: run.best_epoch,
    }));
    if (lines.length) add(`${title}, each run`, curves(lines, `${title} of ${model} by epoch, ${lines.length} runs`));
  }
  return make('div', { class: 'plots' }, figures);
}

function headline(block, cell, runs) {
  const { mean, sd, difference, low, high, p } = cell.summary;
  const figures = [[`${spread(mean, sd)}`, `100 × ${block.metric}, mean ± sd`], [String(runs.filter((run) => isKnown(run.score)).length), 'scored runs']];
  if (isKnown(difference)) {
    figures.push([signed(difference), `from ${block.baseline}` + (isKnown(low) ? ` [${signed(low)}, ${signed(high)}]` : '')]);
    figures.push([pValue(p), `p, not corrected: ${data().test}`]);
  }
  if (isKnown(cell.summary.replicates_low)) {
    const { replicates_difference: drawn, replicates_low: from, replicates_high: to, by } = cell.summary;
    figures.push([signed(drawn), `over test sets drawn anew by ${by} [${signed(from)}, ${signed(to)}]`]);
  }
  return make('div', { class: 'figures' }, figures.map(([value, words]) => make('div', {}, make('b', {}, value), make('span', {}, words))));
}

function runTable(runs) {
  const seconds = [...new Set(runs.flatMap((run) => Object.keys(run.timings)))];
  const folds = runs.some((run) => isKnown(run.fold));
  const heads = [['Seed', false], ...(folds ? [['Fold', true]] : []), ['Score', true], ['Best epoch', true], ['Trained', true], ['Stopped', false],
    ...seconds.map((name) => [`${name} (s)`, true]), [HEADS.images_per_second, true], [HEADS.peak_memory_gb, true],
    ['Attempt', true], ['Finished', false], ['Key', false]];
  return table('The runs', heads, runs.map((run) => [String(run.seed), ...(folds ? [number(run.fold, 0)] : []), hundredths(run.score),
    number(run.best_epoch, 0), number(run.epochs_trained, 0), run.stopped || '–', ...seconds.map((name) => number(run.timings[name], 1)),
    number(run.images_per_second, 1), number(run.peak_memory_gb, 2), String(run.attempt), make('span', { title: run.finished }, localTime(run.finished)), make('code', {}, run.key)]), 'runs');
}

function labelTable(cell) {
  const names = [...new Set(cell.labels.map(([, name]) => name))];
  const byLabel = new Map();
  for (const [label, name, mean, sd, n] of cell.labels) {
    if (!byLabel.has(label)) byLabel.set(label, new Map());
    // positives are images, not a score
    byLabel.get(label).set(name, name === 'positives' ? number(mean, Number.isInteger(mean) ? 0 : 1) : spread(mean, sd) + (n ? ` (${n})` : ''));
  }
  return table('Scores × 100 by label, mean ± sd (runs)', [['Label', false], ...names.map((name) => [name, true])],
    [...byLabel].map(([label, scores]) => [label, ...names.map((name) => scores.get(name) ?? '–')]));
}

const groupTable = (block, cell) => table(`${block.metric} × 100 by subgroup, mean ± sd (runs)`,
  [['Group', false], ['Value', false], ['Score', true], ['Images', true]],
  cell.groups.map(([group, value, mean, sd, n, count]) => [group, value, `${spread(mean, sd)} (${n})`, number(count, Number.isInteger(count) ? 0 : 1)]));

function facts(caption, pairs) {
  const text = (value) => (isKnown(value) ? (typeof value === 'object' ? JSON.stringify(value) : String(value)) : '–');
  return table(caption, [['', false], ['', false]], pairs.map(([name, value]) => [name, text(value)]), 'facts');
}

function distinct(runs, field, list, draw) {
  // what several runs share is written once, with the runs that it is about where not all share it
  const indexes = [...new Set(runs.map((run) => run[field]))];
  return indexes.map((index) => draw(list[index], indexes.length > 1 ? ` of ${runs.filter((run) => run[field] === index).map(runName).join('; ')}` : ''));
}

function folded(title, ...inside) {
  return make('details', {}, make('summary', {}, title), ...inside);
}

function cellBody(block, model, cell) {
  const runs = runsOf(cell), { notes, accounts, environments } = data();
  const noteItems = distinct(runs, 'notes', notes, (lines, whose) => lines.map((line) => make('li', {}, line + (whose && ` (${whose.trim()})`)))).flat();
  const share = (account) => [account.name, `${number(100 * account.share, 2)} % of the encoder from the file; dropped: ${(account.dropped || []).join(', ') || 'nothing'}; fresh: ${(account.fresh || []).join(', ') || 'nothing'}`];
  const close = make('button', { type: 'button', id: 'close' }, 'Close');
  close.addEventListener('click', () => find('#cell').close());
  const address = make('code', { class: 'address' }, location.href);
  const link = make('button', { type: 'button' }, 'Copy link');
  link.addEventListener('click', () => copyText(address));
  const phantom = block.data === 'phantom';
  return [
    make('div', { class: 'cell-head' }, make('div', {},
      make('h2', { id: 'cell-title', tabindex: -1 }, `${model} on ${block.task}`, cell.overlap ? ` ${data().overlap_mark}` : ''),
      make('small', {}, [block.title, block.protocol, block.setting].filter(Boolean).join(', '), ' ', block.data === 'official' ? '' : make('span', { class: 'badge' }, block.data)), address), link, close),
    phantom ? make('p', {}, make('strong', {}, 'Phantom images: these numbers say nothing about medicine.')) : '',
    cell.overlap ? make('p', {}, `${data().overlap_mark} The weights were trained on images of this task: no fair comparison.`) : '',
    headline(block, cell, runs), plots(block, model, cell, runs),
    noteItems.length ? make('div', {}, make('h3', {}, 'Notes'), make('ul', { class: 'notes' }, noteItems)) : '',
    runTable(runs),
    cell.labels.length ? folded('Scores by label', labelTable(cell)) : '',
    cell.groups.length ? folded('Scores by subgroup', groupTable(block, cell)) : '',
    folded('Recipe', facts('All hyper-parameters', Object.entries(data().recipes[cell.recipe]))),
    folded('Weights', cell.weights.map((weights) => facts(`File of ${weights.name}`, Object.entries(weights))),
      distinct(runs, 'account', accounts, (account, whose) => facts(`Account${whose}`, account.map(share)))),
    folded('Environment', distinct(runs, 'environment', environments, (environment, whose) => facts(`Environment${whose}`, Object.entries(environment)))),
    folded('Data', facts('The examples', [['data', block.data], ['digest', block.data_digest], ...Object.entries(block.examples)])),
  ];
}

let opener = null;  // what had the focus before a cell was opened

function followAddress() {
  const dialog = find('#cell'), match = location.hash.match(/^#cell\/([^/]+)\/([^/]+)$/);
  if (!match) { if (dialog.open) dialog.close(); return; }
  let block, cell, model = '';
  try {
    model = decodeURIComponent(match[2]);
    const blocks = data().blocks, name = decodeURIComponent(match[1]);
    block = Object.hasOwn(blocks, name) ? blocks[name] : undefined;
    cell = block && Object.hasOwn(block.cells, model) ? block.cells[model] : undefined;
  } catch (error) { if (!(error instanceof URIError)) throw error; }
  if (!cell) { if (dialog.open) dialog.close(); announce(`This report has no cell ${location.hash.slice(6)}`); return; }
  if (!dialog.open) opener = document.activeElement;
  find('#cell-body').replaceChildren(...cellBody(block, model, cell).filter((part) => part !== ''));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  find('#cell-title').focus({ preventScroll: true });
}

function leaveCell() {
  if (location.hash.startsWith('#cell/')) history.replaceState(null, '', location.pathname + location.search);
  const link = opener && opener !== document.body ? opener : null;
  opener = null;
  if (link && link.isConnected) link.focus({ preventScroll: true });
}

let announcing = 0;
function announce(words) {
  clearTimeout(announcing);
  find('#status').textContent = words;
  announcing = setTimeout(() => { find('#status').textContent = ''; }, 6000);
}

function startCells() {
  const dialog = find('#cell');
  dialog.addEventListener('close', leaveCell);
  dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
  window.addEventListener('hashchange', followAddress);
  followAddress();
}
