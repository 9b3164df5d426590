declare const brand: unique symbol;

/** A `T` that was parsed: only the parser named in the type's own comment makes one. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
