// 3 only results: draw what a query returns, not every edge between its nodes
:config autoComplete: false
