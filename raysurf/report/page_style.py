"""How pages of pictures look: on a screen or a phone, light or dark."""

# What is wider than the page scrolls, and a shadow lies on the side on which there is more.
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fcfcfb; --faint: #6a6a6a; --rule: #d8d8d4;
  --shade: rgb(0 0 0 / .4); }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --paper: #161718; --faint: #a0a09c; --rule: #3a3b3c;
  --shade: rgb(255 255 255 / .45); } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1.2rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 1rem; }
figure { margin: 0; }
.picture, .rows, pre { --ground: var(--paper); overflow-x: auto;
  background: linear-gradient(to right, var(--ground) 35%, transparent) left / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--ground) 35%, transparent) right / 3rem 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) left / 1.1rem 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) right / 1.1rem 100% no-repeat scroll, var(--ground); }
.picture { --ground: white; --shade: rgb(0 0 0 / .4); border: 1px solid var(--rule); border-radius: 6px;
  padding: .5rem; }
.picture svg { --share: 1; display: block; margin: auto; height: auto; mix-blend-mode: multiply;
  width: calc(100% * var(--share)); min-width: calc(34rem * var(--share)); }
figcaption { margin: .8rem 0; color: var(--faint); }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--faint); font-weight: 600; }
td.number, th.number { text-align: right; }
summary { cursor: pointer; margin: 1rem 0 .5rem; }
"""
REPORT_STYLE = """
html { scroll-padding-top: 1rem; }
body { overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 2.2rem 0 .6rem; padding-top: .4rem;
  border-top: 1px solid var(--rule); }
article > h2 { font-size: 1.35rem; border-top: 2px solid var(--ink); margin-top: 3rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .5rem 0; max-width: 55rem; }
small, footer { color: var(--faint); font-size: .8rem; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--rule); padding-top: .8rem; }
a { color: inherit; }
nav { display: flex; flex-wrap: wrap; gap: .3rem .9rem; font-size: .9rem; }
nav a { padding: .15rem 0; }
.notice { border-left: 4px solid #e69f00; padding: .4rem .8rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.tiles div { border: 1px solid var(--rule); border-radius: 6px; padding: .5rem .7rem; }
.tiles dt { color: var(--faint); font-size: .8rem; }
.tiles dd { margin: 0; font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles small { display: block; font-weight: 400; }
figcaption { font-size: .85rem; margin: .4rem 0 1rem; }
.plotly { width: 100%; }
.rows.tall { max-height: 34rem; overflow: auto; border: 1px solid var(--rule); border-radius: 6px; padding: 0 .5rem; }
.tall thead th { position: sticky; top: 0; background: var(--paper); }
td { overflow-wrap: normal; }
table.sources td, table.best td { white-space: normal; min-width: 5rem; }
table.sources td:nth-child(2) { overflow-wrap: anywhere; min-width: 12rem; }
table.best td:not(.number) { min-width: 13rem; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tr.failed td { color: var(--faint); }
tr.pointed td { background: color-mix(in srgb, var(--ink) 10%, transparent); }
g.trial { cursor: pointer; }
g.trial.pointed path, g.trial.pointed use { stroke: #d55e00 !important; stroke-width: 3 !important;
  opacity: 1 !important; }
.filter input { font: inherit; width: min(20rem, 60vw); padding: .25rem .5rem; color: inherit; background: transparent;
  border: 1px solid var(--rule); border-radius: 6px; }
.filter output { color: var(--faint); margin-left: .6rem; }
#tip { position: fixed; z-index: 10; max-width: min(26rem, 90vw); white-space: pre-line; pointer-events: none;
  background: var(--ink); color: var(--paper); font-size: .8rem; line-height: 1.35; padding: .45rem .6rem;
  border-radius: 6px; }
[hidden] { display: none !important; }
pre { font-size: .78rem; line-height: 1.4; border: 1px solid var(--rule); border-radius: 6px;
  padding: .6rem; max-height: 30rem; }
@media (prefers-color-scheme: dark) {
  .picture:not(.map) { --ground: var(--paper); --shade: rgb(255 255 255 / .45); }
  .picture:not(.map) svg { mix-blend-mode: normal; }
  .picture:not(.map) svg, figure > .plotly:not(.map) { filter: invert(1) hue-rotate(180deg); }
}
@media (max-width: 600px) {
  body { padding: .8rem; }
  .picture { padding: .2rem; }
}
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --faint: #444; --rule: #bbb; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .filter, #tip, .modebar { display: none !important; }
  .picture, .rows, .rows.tall, pre { overflow: visible; max-height: none; background: none; }
  .picture svg { min-width: 0; }
  .picture:not(.map) svg, figure > .plotly:not(.map) { filter: none; }
  figure, .tiles div, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  th, td { white-space: normal; padding-right: .4rem; }
  table.trials th, table.trials td:last-child { overflow-wrap: anywhere; }
  table { font-size: 7.5pt; width: 100%; }
  .tall thead th { position: static; }
}
"""
