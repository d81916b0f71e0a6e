import { defineConfig } from "html-validate";

export default defineConfig({
  root: true,
  extends: ["html-validate:recommended", "html-validate:document", "html-validate:a11y"],
  rules: {
    // Both spellings are valid HTML. Blazor writes <link />, templates may write <!doctype html>.
    "void-style": "off",
    "doctype-style": "off",
    // Names are allowed on lists and articles, and screen readers announce them.
    "aria-label-misuse": ["error", { allowAnyNamable: true }],
    // Safari drops the semantics of lists without bullets unless they have the role explicitly.
    "no-redundant-role": "off",
    // Liquid leaves the white space that is around its tags.
    "no-trailing-whitespace": "off",
    // Merchants choose the names of shops and products.
    "long-title": "off",
    // Subresource integrity is for files from other origins; ours come from the origin of the page.
    "require-sri": ["error", { target: "crossorigin" }],
  },
});
