using System.Globalization;
using HandlebarsDotNet;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>The helpers that templates may use in addition to Handlebars' built-in ones.</summary>
internal static class TemplateHelpers
{
    public static void RegisterHelpers(this IHandlebars handlebars, StoreTemplate template)
    {
        // {{asset "css/store.css"}}: the address of an asset.
        handlebars.RegisterHelper("asset", (_, arguments) => template.Asset(Text(Only(arguments, "asset"))));

        // {{link "about/index.html"}}: the address of a page.
        handlebars.RegisterHelper("link", (_, arguments) => template.Link(Text(Only(arguments, "link"))));

        // {{url product}}: the address of a product's page, or of the shop.
        handlebars.RegisterHelper("url", (_, arguments) => Only(arguments, "url") is ModelObject item && item.TryGetValue("url", out var url)
            ? Text(url)
            : throw new RenderException("template-invalid", "{{url}} takes a product or the shop."));

        // {{multiline product.description}}: the escaped text with <br> for line breaks.
        handlebars.RegisterHelper("multiline", (output, _, arguments) =>
        {
            using var escaped = new StringWriter(CultureInfo.InvariantCulture);
            TemplateLanguage.Escape(Text(Only(arguments, "multiline")), escaped);
            output.WriteSafeString(escaped.ToString().ReplaceLineEndings("<br>\n"));
        });

        // {{#eq a b}}…{{else}}…{{/eq}}: compares two values as text.
        handlebars.RegisterHelper("eq", (output, options, context, arguments) =>
        {
            if (arguments.Length != 2)
                throw new RenderException("template-invalid", "{{#eq}} takes two values.");
            if (Text(arguments[0]) == Text(arguments[1]))
                options.Template(output, context);
            else
                options.Inverse(output, context);
        });
    }

    private static object? Only(Arguments arguments, string helper) => arguments.Length == 1
        ? arguments[0]
        : throw new RenderException("template-invalid", $"{{{{{helper}}}}} takes one value.");

    private static string Text(object? value) => value switch
    {
        null or UndefinedBindingResult or ModelObject or ModelList => "",
        bool truth => truth ? "true" : "false",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
    };
}
