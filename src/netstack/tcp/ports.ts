/** The ephemeral ports (RFC 6335, section 6). */
export const EPHEMERAL_FIRST = 49152;
export const EPHEMERAL_COUNT: number = 65536 - EPHEMERAL_FIRST;
