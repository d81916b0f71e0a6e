using Fluid.Ast;

namespace Platform.Templates;

/// <summary>
/// The filters that templates may use, and the types of their results. Each is Shopify's or Liquid's filter of that name, except <c>page_url</c>. Filters that would turn text
/// into markup (such as <c>raw</c>), or that only make sense on Shopify's servers, are not there.
/// </summary>
internal static class TemplateFilters
{
    private static readonly string[] TextFilters =
    [
        "capitalize", "downcase", "upcase", "lstrip", "rstrip", "strip", "strip_newlines", "strip_html", "remove", "remove_first", "remove_last", "replace", "replace_first",
        "replace_last", "truncate", "truncatewords", "url_encode", "handle", "handleize", "escape", "escape_once", "date",
    ];

    private static readonly string[] NumberFilters = ["abs", "at_least", "at_most", "ceil", "divided_by", "floor", "minus", "modulo", "plus", "round", "times"];

    private static readonly string[] MoneyFilters = ["money", "money_with_currency", "money_without_currency", "money_without_trailing_zeros"];

    // They keep the type of their list.
    private static readonly string[] ListFilters = ["compact", "reverse", "sort", "sort_natural", "uniq", "where", "reject", "concat"];

    private static readonly string[] OtherFilters =
    [
        "append", "prepend", "default", "size", "slice", "split", "join", "first", "last", "map", "sum", "find", "has", "newline_to_br", "json", "structured_data", "image_url",
        "asset_url", "page_url",
    ];

    public const string NoCondition = "a comparison is no value; use {% if %}";

    /// <summary>Whether the result of a filter is a number, whatever its input is.</summary>
    public static bool MakesNumber(string filter) => NumberFilters.Contains(filter) || filter is "sum" or "size";

    public static IReadOnlyList<string> Names { get; } = [.. TextFilters.Concat(NumberFilters).Concat(MoneyFilters).Concat(ListFilters).Concat(OtherFilters).Order(StringComparer.Ordinal)];

    /// <summary>The type of a filter's result.</summary>
    /// <param name="filter">The filter's application.</param>
    /// <param name="input">The type of its input.</param>
    /// <param name="arguments">The types of its arguments, in order.</param>
    /// <param name="bundle">The files that literal paths must name.</param>
    /// <param name="problem">What is wrong, or null.</param>
    public static TemplateType Apply(FilterExpression filter, TemplateType input, IReadOnlyList<TemplateType> arguments, BundleFiles bundle, out string? problem)
    {
        var name = filter.Name;
        problem = !Names.Contains(name) ? $"there is no filter '{name}'; {string.Join(", ", Names)} are the filters"
            : !input.IsKnown || arguments.Any(a => !a.IsKnown) ? null
            : Problem(name, input, arguments, bundle, filter);
        if (problem is not null || !input.IsKnown || arguments.Any(a => !a.IsKnown))
            return TemplateType.Unknown;

        return name switch
        {
            // A setting of the type url can be empty; what is appended would then begin the address.
            "append" when input.Kind == Kind.Asset || (input.Literal is not null && input.IsUrl) => new(Kind.Url),
            "default" => WithDefault(input, arguments),
            "has" => TemplateType.Boolean,
            "first" or "last" or "find" => input with { IsList = false, Parameter = null },
            "map" => new(MapField(input, arguments)!.Kind, IsList: true),
            "split" => new(Kind.Text, IsList: true),
            "slice" when input.IsList => input,
            "newline_to_br" => new(Kind.Html),
            "json" or "structured_data" => new(Kind.Json),
            "image_url" or "page_url" => new(Kind.Url),
            "asset_url" => new(Kind.Asset),
            _ when ListFilters.Contains(name) => input with { Literal = null },
            _ when MakesNumber(name) => TemplateType.Number,
            _ => TemplateType.Text,
        };
    }

    private static string? Problem(string name, TemplateType input, IReadOnlyList<TemplateType> arguments, BundleFiles bundle, FilterExpression filter)
    {
        if (input.Kind == Kind.Condition)
            return NoCondition;
        if (input.Kind is Kind.Html && name != "strip_html")
            return $"'{name}' can't follow HTML; apply it before newline_to_br or capture";
        switch (name)
        {
            case "asset_url" or "page_url":
                if (Literal(input) is not { } path)
                    return $"'{name}' takes a path in quotes";
                return name == "asset_url"
                    ? bundle.Assets.Contains(path) ? null : $"there is no asset '{path}' ({TemplateLanguage.AssetsFolder}{path})"
                    : bundle.Pages.Contains(path) ? null : $"there is no page '{path}'; {string.Join(", ", bundle.Pages.Order(StringComparer.Ordinal))} are the pages";

            case "structured_data":
                return input is { IsList: false, Kind: Kind.Product or Kind.Collection } ? null : "'structured_data' takes a product or collection";

            case "image_url":
                if (input.IsList || input.Kind is not (Kind.Image or Kind.Url or Kind.Nil))
                    return "'image_url' takes an image, such as product.featured_image, or a setting of the type url";
                return filter.Parameters.All(p => p.Name == "width" && p.Expression is not null) ? null : "'image_url' takes width only, such as image_url: width: 480";

            case "json":
                return input.Kind is Kind.Settings or Kind.ForLoop or Kind.Paginate or Kind.Routes ? $"'json' can't write this object" : null;

            case "map" when input.IsList:
                return MapField(input, arguments) is null ? $"'map' takes the name of a field in quotes ({string.Join(", ", (input with { IsList = false }).FieldNames)})"
                    : MapField(input, arguments)!.IsList ? "'map' can't take a field that is a list" : null;

            case "where" or "reject" or "find" or "has" or "sort" or "sort_natural" or "sum" when input.IsList && !new TemplateType(input.Kind).IsScalar && arguments.Count > 0:
                return Literal(arguments[0]) is { } field && new TemplateType(input.Kind).Field(field) is not null ? null
                    : $"'{name}' takes the name of a field in quotes ({string.Join(", ", (input with { IsList = false }).FieldNames)})";

            case "concat":
                return arguments is [{ IsList: true } other] && input.IsList && other.Kind == input.Kind ? null : "'concat' takes two lists of the same kind";

            case "default":
                return WithDefault(input, arguments).IsKnown ? null : "'default' takes a value of the same kind";

            case "size" or "first" or "last":
                return null;

            case "map" or "sum" or "find" or "has" or "join":
                return input.IsList ? null : $"'{name}' takes a list";

            case "slice":
                return input.IsList || input.IsScalar ? null : "'slice' takes a text or list";

            default:
                if (ListFilters.Contains(name))
                    return input.IsList ? null : $"'{name}' takes a list";
                if (!input.IsScalar || arguments.Any(a => !a.IsScalar))
                    return $"'{name}' takes single values";
                return arguments.Any(a => a.Kind is Kind.Html) ? $"'{name}' can't take HTML" : null;
        }
    }

    private static TemplateType WithDefault(TemplateType input, IReadOnlyList<TemplateType> arguments) => arguments.Aggregate(input, TemplateType.Join) with { Literal = null };

    private static TemplateType? MapField(TemplateType input, IReadOnlyList<TemplateType> arguments) =>
        arguments is [var argument] && Literal(argument) is { } field ? new TemplateType(input.Kind).Field(field) : null;

    private static string? Literal(TemplateType type) => type.Literal is Fluid.Values.StringValue text ? text.ToStringValue() : null;
}

/// <summary>What the literal paths in a template may name.</summary>
/// <param name="Assets">The paths of the assets, without <c>assets/</c>.</param>
/// <param name="Pages">The paths of the pages that are made once.</param>
internal sealed record BundleFiles(IReadOnlySet<string> Assets, IReadOnlySet<string> Pages);
