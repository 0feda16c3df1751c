/** Style sheet of the report: light, dark, print, from 320 px upwards. Constant text, so it may stand in the page unescaped. */
export const STYLES = `
:root{color-scheme:light dark;--paper:#f4f6f8;--card:#fff;--ink:#16202c;--muted:#556170;--grid:#e1e6ec;--line:#d5dce4;--accent:#0b5fa5;--tint:#eaf3fb;--good:#0a6e45;--good-tint:#e4f5ec;--bad:#b3261e;--bad-tint:#fdeceb;--warn:#7d5200;--warn-tint:#fff3d9;--series-0:#0072b2;--series-1:#d55e00;--series-2:#00825f;--series-3:#b3538f;--series-4:#a86f00;--series-5:#3d8fc4}
@media screen and (prefers-color-scheme:dark){:root{--paper:#10151b;--card:#19212a;--ink:#e8edf3;--muted:#a3b0bf;--grid:#2b3641;--line:#313d4a;--accent:#7cc0f5;--tint:#15293a;--good:#66d6a3;--good-tint:#12332a;--bad:#ff9a8f;--bad-tint:#3f1f1f;--warn:#f3c66b;--warn-tint:#3a2e14;--series-0:#5ab4f0;--series-1:#ff9248;--series-2:#35c79a;--series-3:#e796c6;--series-4:#e9bb45;--series-5:#a6d8f7}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
header,footer,.layout{max-width:1420px;margin:0 auto;padding:0 20px}
main{min-width:0}
.layout{display:grid;grid-template-columns:190px minmax(0,1fr);gap:0 28px;align-items:start}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
section:focus,main:focus{outline:none}
section:target{border-color:var(--accent)}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.skip{position:absolute;left:-999px;top:8px;background:var(--card);padding:8px 14px;border-radius:8px;z-index:2}
.skip:focus{left:12px}
header{padding-top:32px}
h1{font-size:clamp(1.5rem,1.1rem + 1.6vw,2.2rem);line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:1.25rem;line-height:1.3;margin:0 0 14px}
h3{font-size:1.05rem;margin:24px 0 8px}
h4{font-size:.95rem;margin:0 0 6px}
p{margin:0 0 10px}
code{font:.88em ui-monospace,SFMono-Regular,Consolas,"DejaVu Sans Mono",monospace}
.subtitle{color:var(--muted);margin:0 0 14px}
.pills{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 18px;padding:0;list-style:none}
.pills li{border:1px solid var(--line);background:var(--card);border-radius:999px;padding:2px 12px;font-size:.86rem}
.pills .good,.stamp.good{background:var(--good-tint);color:var(--good);border-color:currentColor;font-weight:600}
.pills .bad,.stamp.bad{background:var(--bad-tint);color:var(--bad);border-color:currentColor;font-weight:600}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px 24px;margin:0 0 20px;scroll-margin-top:12px}
.verdict{border-left:6px solid var(--accent)}
.verdict .headline{font-size:clamp(1.15rem,1rem + .8vw,1.5rem);line-height:1.35;font-weight:650;margin:0 0 12px}
.verdict ul{margin:16px 0 0;padding-left:20px}
.verdict li{margin:3px 0}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin:0}
.tiles div{background:var(--tint);border-radius:10px;padding:10px 14px}
.tiles dt{font-size:.8rem;color:var(--muted)}
.tiles dd{margin:0;font-size:1.35rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles dd.absent{font-size:1rem;padding-top:5px}
.tiles small{display:block;font-size:.78rem;font-weight:400;color:var(--muted)}
nav{position:sticky;top:12px;max-height:calc(100vh - 24px);overflow-y:auto;font-size:.92rem;padding:4px}
nav ol{list-style:none;margin:0;padding:0}
nav a{display:block;padding:5px 10px;border-radius:8px;text-decoration:none}
nav a:hover{background:var(--tint);text-decoration:underline}
a{color:var(--accent)}
.absent{color:var(--muted);font-style:italic;font-weight:400}
.note{font-size:.85rem;color:var(--muted);margin:10px 0 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:22px 28px;align-items:start}
.charts+.scroll,.scroll~.charts{margin-top:18px}
.note.intro{margin:0 0 12px}
.split{margin:-8px 0 12px;font-size:.88rem;color:var(--muted)}
.note+.charts{margin-top:20px}
figure{margin:0;min-width:0}
figcaption{font-weight:600;margin:0 0 6px}
.chart{display:block;width:100%;max-width:470px;height:auto}
details{margin:6px 0 0}
summary{cursor:pointer;color:var(--accent);font-size:.86rem;padding:3px 0;width:max-content;max-width:100%}
details[open]>summary{margin-bottom:6px}
.scroll{overflow-x:auto;margin:0 0 12px}
.by-model .value,.by-model thead tr+tr th{white-space:nowrap}
.matrix .chart{max-width:350px}
.pairs+.charts{margin-top:22px}
.numbers{font-size:.82rem}
.numbers th,.numbers td{padding:4px 8px;overflow-wrap:normal}
.words td,.words th{text-align:left}
.words td{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;overflow-wrap:break-word;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:8px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child{text-align:left}
thead th{overflow-wrap:normal;font-weight:600;color:var(--muted);font-size:.82rem;vertical-align:bottom}
thead tr+tr th:first-child{text-align:right}
.models thead th{white-space:nowrap}
thead th[scope=colgroup]{text-align:center;border-bottom:0;padding-bottom:0}
tbody th{font-weight:600}
tbody tr:last-child>*{border-bottom:0}
.total>*,.images>*{font-weight:600}
.images>*{border-bottom:2px solid var(--line)}
.total>*{border-top:2px solid var(--line)}
.models{font-size:.86rem}
.models th,.models td{padding:9px 7px}
.models td{overflow-wrap:normal;min-width:64px}
.models tbody th{min-width:150px}
.models .value{font-size:1rem;font-weight:600;white-space:nowrap}
.models .value.absent{font-size:.82rem;font-weight:400;white-space:normal}
.kind-student-int8>*{background:var(--tint)}
.prompts,.remark,.delta,.beside{display:block;font-size:.78rem;font-weight:400;color:var(--muted)}
.beside,td:not([data-label=Size]):not([data-label="Peak memory"])>.delta{white-space:nowrap}
.delta.better{color:var(--good)}
.delta.worse{color:var(--bad)}
.pairs{margin:0;font-size:.92rem}
.pairs>div{display:grid;grid-template-columns:minmax(130px,30%) minmax(0,1fr);gap:4px 16px;padding:7px 0;border-bottom:1px solid var(--line)}
.pairs>div:last-child{border-bottom:0}
.pairs dt{color:var(--muted)}
.pairs dd{margin:0}
.index{display:inline-block;min-width:1.6em;color:var(--muted);font-weight:400}
.findings,.checks{list-style:none;margin:0;padding:0}
.findings li,.checks li{display:flex;gap:12px;padding:8px 0;border-bottom:1px solid var(--line);font-size:.92rem}
.findings li:last-child,.checks li:last-child{border-bottom:0}
.mark{flex:none;width:1.6em;height:1.6em;border-radius:50%;display:grid;place-items:center;font-weight:700;font-size:.9rem}
.error .mark,.failed .mark{background:var(--bad-tint);color:var(--bad)}
.warn .mark{background:var(--warn-tint);color:var(--warn)}
.info .mark{background:var(--tint);color:var(--accent)}
.passed .mark{background:var(--good-tint);color:var(--good)}
.failed .result,.error b{color:var(--bad);font-weight:700}
.passed .result,.times{color:var(--muted)}
.stamp{display:inline-block;border:1px solid;border-radius:8px;padding:6px 14px}
.decisions{margin:0;display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:14px 28px}
.decisions dt{color:var(--muted);font-size:.85rem}
.decisions dd{margin:0}
.pictures{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:20px}
.picture-row{grid-column:1/-1}
.picture-row>div{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr));gap:12px}
.pictures img{display:block;width:100%;height:auto;border-radius:8px;background:var(--grid)}
.pictures .caption{font-size:.88rem;color:var(--muted);margin-top:4px}
footer{color:var(--muted);font-size:.85rem;padding-bottom:36px}
@media screen and (max-width:1000px){
.layout{display:block}
nav{position:static;max-height:none;margin:0 0 18px;padding:0}
nav ol{display:flex;flex-wrap:wrap;gap:2px 4px}
nav a{padding:5px 8px}
}
@media screen and (max-width:760px){
header,.layout,footer{padding-left:12px;padding-right:12px}
.pairs>div{grid-template-columns:1fr;gap:0}
nav a{padding:9px 8px}
summary{padding:9px 0}
header{padding-top:20px}
section{padding:16px 14px;border-radius:12px}
.pictures{grid-template-columns:1fr}
.tiles{grid-template-columns:1fr 1fr}
table:not(.stack) tbody th{position:sticky;left:0;background:var(--card)}
.stack .value{white-space:normal}
table:not(.stack) th,table:not(.stack) td{padding:6px 5px}
table:not(.stack){font-size:.82rem}
.picture-row>div{grid-template-columns:1fr 1fr}
.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.stack,.stack tbody,.stack tr{display:block;width:100%}
.stack tr{border:1px solid var(--line);border-radius:10px;padding:4px 12px;margin-bottom:12px}
.stack.models .kind-student-int8{background:var(--tint)}
.stack th,.stack td{display:block;border-bottom:1px solid var(--grid);padding:7px 0}
.stack tr>:last-child,.stack tbody tr:last-child>:last-child{border-bottom:0}
.stack tbody tr:last-child>*{border-bottom:1px solid var(--grid)}
.stack .total>*{border-top:0}
.stack th .name{font-size:1.02rem}
.stack td{display:flex;flex-wrap:wrap;gap:0 10px;align-items:baseline;text-align:right;background:none}
.stack td::before{content:attr(data-label);flex:1 1 25%;text-align:left;color:var(--muted);font-weight:400}
.stack.words td{display:block;text-align:left}
.stack.words td::before{display:block}
.stack .beside{flex-basis:100%}
.stack .delta{margin-left:auto}
.stack th{background:none;min-width:0}
}
@media print{
@page{margin:12mm}
:root{--paper:#fff;--tint:#f2f7fb}
html{font-size:12.5px}
body{font-size:1rem;-webkit-print-color-adjust:exact;print-color-adjust:exact}
header,footer,.layout{max-width:none;padding:0}
.layout{display:block}
.skip,details{display:none}
nav{position:static;max-height:none;margin:0 0 10px;padding:0}
nav ol{columns:3}
nav a{padding:1px 0}
section{border-radius:0;padding:0 0 8px;border-width:0 0 1px;break-inside:auto}
thead{display:table-header-group}
.verdict{padding-left:12px;border-left-width:5px}
h2,h3,h4,figcaption{break-after:avoid}
figure,tr,li,.tiles div,.picture-row,.decisions div,.pairs div{break-inside:avoid}
.charts{grid-template-columns:1fr 1fr;gap:14px}
.picture-row>div{grid-template-columns:repeat(auto-fit,minmax(180px,1fr))}
.scroll{overflow:visible}
th,td{padding:5px 7px}
.models th,.models td{padding:5px 3px;min-width:0}
.models tbody th{min-width:104px}
.by-model thead tr+tr th{white-space:normal}
.matrix .chart{max-width:250px}
.models .value{font-size:.95rem}
.prompts,.remark,.delta,.beside{font-size:.7rem}
.delta{white-space:normal}
.tiles{gap:6px}
.tiles div{padding:5px 10px}
.tiles dd{font-size:1.1rem}
}
`;
