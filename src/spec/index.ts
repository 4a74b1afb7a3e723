/** Programs and maps as plain data. */
export * from './map.ts';
export * from './program.ts';
