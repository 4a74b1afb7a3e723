/** Does nothing: what Node.js itself takes to start a module and to end. */
export {};
