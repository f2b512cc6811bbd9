"""A JavaScript engine cut down to ECMAScript 5, which is what digdag sets its engine to.

What came later must fail here as it fails there. `Date` depends on the workflow's time zone and moment.js is large:
neither is here, though digdag has both.
"""

from __future__ import annotations

import json
import re

import quickjs

MISSING = ("moment", "Date")
_LATER_SYNTAX = re.compile(r"`|=>|\*\*|\?\?|\?\.(?!\d)|\.\.\.|\b(?:let|const|class|async|await)\b")
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_NAMES = {
    "": (
        "Object Function Array String Boolean Number RegExp Error EvalError RangeError ReferenceError "
        "SyntaxError TypeError URIError Math JSON NaN Infinity undefined parseInt parseFloat isNaN isFinite "
        "decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape eval globalThis"
    ),
    "Object": (
        "length name prototype getPrototypeOf getOwnPropertyDescriptor getOwnPropertyNames create "
        "defineProperty defineProperties seal freeze preventExtensions isSealed isFrozen isExtensible keys"
    ),
    "Array": "length name prototype isArray",
    "String": "length name prototype fromCharCode",
    "Number": "length name prototype MAX_VALUE MIN_VALUE NaN NEGATIVE_INFINITY POSITIVE_INFINITY",
    "Math": (
        "E LN10 LN2 LOG2E LOG10E PI SQRT1_2 SQRT2 abs acos asin atan atan2 ceil cos exp floor log max min pow "
        "random round sin sqrt tan"
    ),
    "Array.prototype": (
        "constructor length toString toLocaleString concat join pop push reverse shift slice sort splice "
        "unshift indexOf lastIndexOf every some forEach map filter reduce reduceRight"
    ),
    "String.prototype": (
        "constructor length toString valueOf charAt charCodeAt concat indexOf lastIndexOf localeCompare match "
        "replace search slice split substring substr toLowerCase toLocaleLowerCase toUpperCase "
        "toLocaleUpperCase trim trimLeft trimRight "
        # Not ECMAScript 5, but digdag's engine lends texts the methods of Java's String.
        "startsWith endsWith repeat"
    ),
}
_DELETE_OTHERS = """(function (global, kept) {
  Object.keys(kept).reverse().forEach(function (owner) {
    var object = owner.split('.').reduce(function (found, name) { return name ? found[name] : found }, global);
    Object.getOwnPropertyNames(object).forEach(function (name) {
      if (kept[owner].split(' ').indexOf(name) < 0) { delete object[name] }
    });
  });
  delete global.globalThis;
})"""


def engine() -> quickjs.Context:
    """A new engine with nothing but ECMAScript 5."""
    context = quickjs.Context()
    context.eval(f"{_DELETE_OTHERS}(globalThis, {json.dumps(_NAMES)})")
    return context


def later_syntax(script: str) -> str | None:
    """The first piece of syntax in `script` that ECMAScript 5 has not."""
    later = _LATER_SYNTAX.search(_QUOTED.sub("''", script))
    return later[0] if later else None
