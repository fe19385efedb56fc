"""The style of the HTML views: JupyterLab's variables, with greys that suit any theme without."""

_RULES = """
.spa-view {
  --spa-text: var(--jp-content-font-color1, inherit);
  --spa-soft: var(--jp-content-font-color2, #767676);
  --spa-edge: var(--jp-border-color2, rgba(128, 128, 128, .35));
  --spa-tint: var(--jp-layout-color2, rgba(128, 128, 128, .10));
  --spa-base: var(--jp-layout-color0, Canvas);
  --spa-mark: var(--jp-brand-color1, #1976d2);
  color: var(--spa-text);
  font-size: var(--jp-ui-font-size1, 13px);
  line-height: 1.45;
  max-width: 62em;
}
.spa-view .spa-title { font-size: 1.15em; margin: .3em 0 .6em; }
.spa-view .spa-title strong { font-weight: 600; }
.spa-view .spa-section { margin: 1em 0 .2em; font-weight: 600; }
.spa-view .spa-section .spa-muted { font-weight: 400; margin-left: .4em; }
.spa-view .spa-muted { color: var(--spa-soft); }
.spa-view .spa-good { color: var(--jp-success-color1, #43a047); }
.spa-view .spa-bad { color: var(--jp-error-color1, #d32f2f); }
.spa-view .spa-line { margin: .5em 0; }
.spa-view .spa-facts { display: flex; flex-wrap: wrap; gap: .4em 2.4em; margin: .6em 0; }
.spa-view .spa-label { color: var(--spa-soft); font-size: .88em; }
.spa-view .spa-value { font-size: 1.1em; font-variant-numeric: tabular-nums; }
.spa-view .spa-note { color: var(--spa-soft); margin-left: .55em; font-size: .88em; }
.spa-view .spa-frame { overflow-x: auto; margin: .5em 0; }
@media (max-width: 800px) {
  .spa-view .spa-table thead th:nth-child(n), .spa-view .spa-table tbody td:nth-child(n) {
    padding-right: .7em;
  }
  .spa-view .spa-table .spa-bar { width: 4em; }
}
.spa-view .spa-scroll {
  max-height: 27em; overflow-y: auto;
  border-bottom: 1px solid var(--spa-edge);
}
.spa-view table.spa-table {
  border-collapse: collapse; border: none; margin: 0; width: auto;
  font-size: inherit; table-layout: auto; color: inherit;
}
.spa-view .spa-table thead th {
  position: sticky; top: 0; z-index: 1;
  background: var(--spa-base); color: var(--spa-soft);
  font-weight: 500; text-align: left; vertical-align: bottom; white-space: normal;
  padding: .3em 1.6em .3em .5em; border: none;
  box-shadow: inset 0 -1px 0 var(--spa-edge);
}
.spa-view .spa-table tbody tr:nth-child(n) { background: transparent; }
.spa-view .spa-table tbody tr:nth-child(n):hover { background: var(--spa-tint); }
.spa-view .spa-table tbody tr.spa-current:nth-child(n) {
  background: var(--spa-tint); box-shadow: inset 3px 0 0 var(--spa-mark); font-weight: 600;
}
.spa-view .spa-table tbody td {
  text-align: left; vertical-align: top; padding: .22em 1.6em .22em .5em;
  border: none; max-width: 44em; white-space: normal;
}
.spa-view .spa-table thead th.spa-right, .spa-view .spa-table tbody td.spa-right {
  text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
}
.spa-view .spa-table tbody td.spa-share { white-space: nowrap; }
.spa-view .spa-table tbody td.spa-best { font-weight: 700; }
.spa-view .spa-picture { display: block; max-width: 100%; height: auto; margin: .6em 0; }
.spa-view td li .spa-code { white-space: pre-wrap; }
.spa-view .spa-code { font-family: var(--jp-code-font-family, monospace); font-size: .95em; }
.spa-view summary { cursor: pointer; }
.spa-view .spa-fold { margin: .6em 0; }
.spa-view .spa-fold > summary { color: var(--spa-soft); }
.spa-view .spa-points, .spa-view td ul { margin: .2em 0 .4em; padding-left: 1.5em; }
.spa-view td ul { list-style: none; padding-left: 1.1em; }
.spa-view .spa-bar {
  display: inline-block; width: 7em; height: .62em; margin-right: .7em;
  background: var(--jp-layout-color3, rgba(128, 128, 128, .30));
  border-radius: 2px; overflow: hidden; vertical-align: baseline;
}
.spa-view .spa-bar > span { display: block; height: 100%; background: var(--spa-mark); }
"""

STYLE = " ".join(_RULES.split())
