"""The style of a debate's HTML. Text takes its colour from the page around it, light or dark."""

STYLE = """
.greek-chorus{font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;max-width:60rem;text-align:left}
.greek-chorus p{margin:.3em 0;overflow-wrap:anywhere}
.greek-chorus ul{margin:.2em 0;padding-left:1.4em}
.greek-chorus .gc-text{white-space:pre-wrap;overflow-wrap:anywhere}
.greek-chorus .gc-question{opacity:.75;max-height:12em;overflow:auto}
.greek-chorus .gc-answer{font-size:1.7em;font-weight:700;line-height:1.25;margin:.1em 0}
.greek-chorus .gc-muted{opacity:.7;font-size:.93em;font-weight:400}
.greek-chorus .gc-head{font-weight:600;margin-top:1em}
.greek-chorus .gc-usage{margin-top:1em}
.greek-chorus .gc-warning{border-left:4px solid #D55E00;padding:.35em .8em;background:rgba(213,94,0,.12)}
.greek-chorus .gc-support{display:grid;grid-template-columns:fit-content(22em) minmax(5em,14em) max-content 1fr;
gap:.3em .8em;align-items:center;margin:.7em 0;overflow-wrap:anywhere}
.greek-chorus .gc-track{height:.8em;border-radius:.4em;background:rgba(128,128,128,.22);overflow:hidden}
.greek-chorus .gc-track div{height:100%}
.greek-chorus blockquote{margin:.3em 0;padding:.1em .9em;border-left:3px solid rgba(128,128,128,.5)}
.greek-chorus blockquote .gc-text{max-height:16em;overflow:auto}
.greek-chorus .gc-drawing{overflow-x:auto;margin:1em 0 0}
.greek-chorus details{border-top:1px solid rgba(128,128,128,.35);padding:.35em 0}
.greek-chorus summary{cursor:pointer;font-weight:600}
.greek-chorus .gc-speech{margin:.7em 0 .9em 1.1em;overflow-wrap:anywhere}
.greek-chorus .gc-chip{display:inline-block;border-radius:.6em;padding:0 .6em;border:1px solid rgba(128,128,128,.4)}
"""
"""CSS whose every rule begins with the class of the fragment."""
