/** How a peer shows who it is: PAP (RFC 1334), CHAP with MD5 (RFC 1994), MS-CHAPv2 (RFC 2759), EAP with MD5 (RFC 3748). */
export type AuthenticationMethod = 'pap' | 'chap-md5' | 'mschapv2' | 'eap-md5';

export const AUTHENTICATION_METHODS: readonly AuthenticationMethod[] = [
  'chap-md5',
  'mschapv2',
  'eap-md5',
  'pap',
];
