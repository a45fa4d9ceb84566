import type { Fragment as PreactFragment, h as create, JSX as Elements } from "preact";

declare global {
  const h: typeof create;
  const Fragment: typeof PreactFragment;
  namespace JSX {
    type Element = Elements.Element;
    type ElementType = Elements.ElementType;
    type ElementClass = Elements.ElementClass;
    type IntrinsicElements = Elements.IntrinsicElements;
    type IntrinsicAttributes = Elements.IntrinsicAttributes;
    type ElementChildrenAttribute = Elements.ElementChildrenAttribute;
    type LibraryManagedAttributes<C, P> = Elements.LibraryManagedAttributes<C, P>;
  }
}
