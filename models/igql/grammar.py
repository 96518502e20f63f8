"""The grammar of IGQL, in Lark's notation; ``docs/igql.md`` shows the same rules."""

from __future__ import annotations

from typing import Final

GRAMMAR: Final = r"""
query      : chain
chain      : (user | blend) call*
user       : "user"
blend      : "blend" "(" branch ("," branch)* [","] ")"
branch     : NUMBER ":" chain
call       : "." NAME "(" [argument ("," argument)* [","]] ")"
argument   : NAME "=" value       -> named
           | value                -> unnamed
           | predicate            -> unnamed
?value     : NUMBER               -> number
           | TEXT                 -> text
           | flag
           | NAME                 -> name
?predicate : conjunction ("or" conjunction)*    -> any_of
?conjunction : condition ("and" condition)*     -> all_of
?condition : NAME SIGN literal    -> comparison
           | "not" condition      -> negation
           | "(" predicate ")"
?literal   : NUMBER               -> number
           | TEXT                 -> text
           | flag
flag       : TRUE | FALSE

TRUE   : "true"
FALSE  : "false"
SIGN   : "<=" | ">=" | "==" | "!=" | "<" | ">"
NUMBER : /[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
TEXT   : /"([^"\\\x00-\x1f\ud800-\udfff]|\\["\\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*"/
NAME   : /[A-Za-z_][A-Za-z0-9_]*/

COMMENT : /#[^\n]*/
SPACE   : /[ \t\r\n\f\ufeff]+/
%ignore COMMENT
%ignore SPACE
"""
