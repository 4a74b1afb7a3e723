/** Does nothing: what Node.js itself takes to start a script and to end. */
