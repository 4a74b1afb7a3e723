/** One function of a program. Line info comes from its instructions. */
export interface FunctionSpec {
  /** A C identifier. */
  readonly name: string;
  /** Its first slot (8 bytes each) within the program. */
  readonly slot: number;
  /** How many arguments it takes, 0 to 5; the entry takes one, `struct xdp_md *`. */
  readonly parameters: number;
}
