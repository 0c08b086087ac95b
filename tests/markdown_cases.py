"""What models write beyond CommonMark, and how a terminal and the page show it: one table for both."""

from __future__ import annotations

CASES = {
    # Emphasis beside East Asian punctuation.
    "这里有**“你好”**世界，**重要（非常）**内容": "这里有<b>“你好”</b>世界，<b>重要（非常）</b>内容",
    "以及**真。**她": "以及<b>真。</b>她",
    "これは**「重要なこと」**です。次に**テスト。**次": "これは<b>「重要なこと」</b>です。次に<b>テスト。</b>次",
    "한국어 **강조(強調)**입니다": "한국어 <b>강조(強調)</b>입니다",
    "**마크다운(Markdown)**을": "<b>마크다운(Markdown)</b>을",
    "**Go（Golang）**は*「速い」*と": "<b>Go（Golang）</b>は<i>「速い」</i>と",
    "𠮷**（字）**𠮷": "𠮷<b>（字）</b>𠮷",
    "これ**👍**です": "これ<b>👍</b>です",
    "***全部。***です": "<b><i>全部。</i></b>です",
    "と__言う__と": "と__言う__と",
    "と__「言う」__と": "と__「言う」__と",
    # Beside any other it is as it was.
    "**foo(bar)**baz": "**foo(bar)**baz",
    "a*b*c, snake_case_name and 5 * 3 * 2": "a<i>b</i>c, snake_case_name and 5 * 3 * 2",
    "**เธอ!**คน": "**เธอ!**คน",
    # Formulas.
    r"\( x_1*y_2 \) and \( x_2*y_1 \)": r"\( x_1*y_2 \) and \( x_2*y_1 \)",
    r"$a*b*c$, $f_*=g_*$, 5 $ and *6* $": r"$a*b*c$, $f_*=g_*$, 5 $ and <i>6</i> $",
    r"\[ a*b*c \] costs $5 *or* $6": r"\[ a*b*c \] costs $5 <i>or</i> $6",
    r"$$ a*b*c $$ and $x*y*$1": r"$$ a*b*c $$ and $x<i>y</i>$1",
    r"$\mathbb{E}[f_*] = K_{*x}^{-1}y$": r"$\mathbb{E}[f_*] = K_{*x}^{-1}y$",
    r"\\(a*b*c)": r"\(a<i>b</i>c)",
    r"*\(a*b\)*": r"<i>\(a*b\)</i>",
    r"a set \{1, 2\}": "a set {1, 2}",
    rf"\({'x' * 500} *y* \)": f"({'x' * 500} <i>y</i> )",
    "$$\nx * y * z \\\\\n- w\n$$": "$$\nx * y * z \\\\\n- w\n$$",
    "\\[\na_1 *b*\n\\]": "\\[\na_1 *b*\n\\]",
}
"""Markdown, and its text: strong in `<b>`, emphasis in `<i>`, whatever else it is."""
