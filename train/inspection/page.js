// Points at a token: lights up the tokens of its row that it sees, by the attention rule. Nothing else runs on this page.
for (const row of document.querySelectorAll('[data-rule]')) {
  const {sees, seen, segments} = JSON.parse(row.dataset.rule);
  const tokens = [...row.querySelectorAll('[data-at]')];
  const see = (query, key) => seen[key] <= sees[query] && segments[query] === segments[key] && segments[query] !== 0;
  const light = target => {
    const at = target && +target.dataset.at;
    for (const token of tokens) {
      const keys = Array.from({length: +token.dataset.count}, (_, k) => +token.dataset.at + k);
      token.classList.toggle('lit', !!target && keys.some(key => see(at, key)));
      token.classList.toggle('here', token === target);
    }
  };
  row.addEventListener('mouseover', event => light(event.target.closest('[data-at]')));
  row.addEventListener('mouseleave', () => light(null));
}
