using Fluid.Values;

namespace Platform.Templates;

/// <summary>What an expression of a template is. The scalars come last.</summary>
internal enum Kind
{
    /// <summary>An expression with an error that was reported already.</summary>
    Unknown,
    Shop,
    Settings,
    Product,
    Variant,
    Image,
    Collection,
    Page,
    Routes,
    Paginate,
    PageLink,
    ForLoop,

    /// <summary>A comparison. As a value, Liquid writes its left side, of whatever kind that is.</summary>
    Condition,

    /// <summary>HTML that the template made, from <c>capture</c> or <c>newline_to_br</c>.</summary>
    Html,

    /// <summary>JSON that is safe in a script element.</summary>
    Json,
    Text,
    Url,

    /// <summary>The address of one of the template's own assets.</summary>
    Asset,
    Color,
    Number,
    Choice,
    Boolean,
    Nil,
}

/// <summary>The static type of an expression.</summary>
/// <param name="Kind">The kind, or that of the items of a list.</param>
/// <param name="IsList">Whether it is a list.</param>
/// <param name="Parameter">The parameter that a setting belongs to.</param>
/// <param name="Literal">The value of a literal.</param>
internal sealed record TemplateType(Kind Kind, bool IsList = false, TemplateParameter? Parameter = null, FluidValue? Literal = null)
{
    public static readonly TemplateType Unknown = new(Kind.Unknown);
    public static readonly TemplateType Text = new(Kind.Text);
    public static readonly TemplateType Number = new(Kind.Number);
    public static readonly TemplateType Boolean = new(Kind.Boolean);

    public bool IsKnown => Kind != Kind.Unknown;

    public bool IsScalar => !IsList && Kind >= Kind.Html;

    /// <summary>Values whose form is checked so strictly that they can't break CSS.</summary>
    public bool IsCss => !IsList && Kind is Kind.Color or Kind.Number or Kind.Choice or Kind.Asset or Kind.Boolean or Kind.Nil;

    public bool IsUrl => !IsList && (Kind is Kind.Url or Kind.Asset or Kind.Nil || (Literal is StringValue text && TemplateParameter.IsSafeUrl(text.ToStringValue())));

    /// <summary>The type of a value that has either of two types.</summary>
    public static TemplateType Join(TemplateType one, TemplateType other)
    {
        if (one == other || other.Kind == Kind.Nil || one.Kind == Kind.Unknown)
            return one;
        if (one.Kind == Kind.Nil || other.Kind == Kind.Unknown)
            return other;
        if (one.IsList != other.IsList)
            return Unknown;
        if (one.Kind == other.Kind)
            return new(one.Kind, one.IsList);
        if (!one.IsScalar || !other.IsScalar)
            return Unknown;
        if (one.Kind is Kind.Html or Kind.Json || other.Kind is Kind.Html or Kind.Json)
            return new(Kind.Html);
        return one.IsUrl && other.IsUrl ? new(Kind.Url) : one.IsCss && other.IsCss ? new(Kind.Choice) : Text;
    }

    /// <summary>The type of one of this object's fields, or null if there is no such field.</summary>
    public TemplateType? Field(string name) => IsList
        ? name switch { "size" => Number, "first" or "last" => new(Kind), _ when Kind == Kind.Collection => new(Kind), _ => null }
        : Fields.TryGetValue(Kind, out var fields) ? fields.GetValueOrDefault(name)
        : Kind == Kind.Text && name == "size" ? Number
        : null;

    /// <summary>The names of this object's fields.</summary>
    public IEnumerable<string> FieldNames => IsList ? ["size", "first", "last"] : Fields.TryGetValue(Kind, out var fields) ? fields.Keys.Order(StringComparer.Ordinal) : [];

    public static TemplateType Of(TemplateParameter parameter) => new(parameter.Type switch
    {
        TemplateParameterType.Url => Kind.Url,
        TemplateParameterType.Color => Kind.Color,
        TemplateParameterType.Number => Kind.Number,
        TemplateParameterType.Boolean => Kind.Boolean,
        TemplateParameterType.Choice => Kind.Choice,
        _ => Kind.Text,
    }, Parameter: parameter);

    private static TemplateType ListOf(Kind kind) => new(kind, IsList: true);

    private static readonly TemplateType Url = new(Kind.Url);

    /// <summary>What every page and partial sees. The renderer's model has the same names.</summary>
    public static IReadOnlyDictionary<string, TemplateType> Globals { get; } = new Dictionary<string, TemplateType>
    {
        ["shop"] = new(Kind.Shop),
        ["settings"] = new(Kind.Settings),
        ["products"] = ListOf(Kind.Product),
        ["collections"] = ListOf(Kind.Collection),
        ["product"] = new(Kind.Product),
        ["collection"] = new(Kind.Collection),
        ["page"] = new(Kind.Page),
        ["routes"] = new(Kind.Routes),
        ["canonical_url"] = Url,
    };

    private static readonly Dictionary<Kind, Dictionary<string, TemplateType>> Fields = new()
    {
        [Kind.Shop] = new()
        {
            ["name"] = Text,
            ["slug"] = Text,
            ["url"] = Url,
            // Both are checked: a currency's code, a language tag.
            ["currency"] = new(Kind.Choice),
            ["locale"] = new(Kind.Choice),
            ["text_direction"] = new(Kind.Choice),
        },
        [Kind.Page] = new() { ["path"] = Text, ["is_index"] = Boolean },
        [Kind.Routes] = new() { ["root_url"] = Url },
        [Kind.Product] = new()
        {
            ["title"] = Text,
            ["handle"] = Text,
            ["sku"] = Text,
            ["description"] = Text,
            ["url"] = Url,
            ["price"] = Number,
            ["price_min"] = Number,
            ["price_max"] = Number,
            ["price_varies"] = Boolean,
            ["compare_at_price"] = Number,
            ["available"] = Boolean,
            ["featured_image"] = new(Kind.Image),
            ["images"] = ListOf(Kind.Image),
            ["options"] = ListOf(Kind.Text),
            ["variants"] = ListOf(Kind.Variant),
            ["has_only_default_variant"] = Boolean,
            ["collections"] = ListOf(Kind.Collection),
        },
        [Kind.Variant] = new()
        {
            ["title"] = Text,
            ["sku"] = Text,
            ["options"] = ListOf(Kind.Text),
            ["option1"] = Text,
            ["option2"] = Text,
            ["option3"] = Text,
            ["price"] = Number,
            ["available"] = Boolean,
        },
        [Kind.Image] = new() { ["src"] = Url, ["alt"] = Text, ["width"] = Number, ["height"] = Number, ["aspect_ratio"] = Number },
        [Kind.Collection] = new()
        {
            ["title"] = Text,
            ["handle"] = Text,
            ["description"] = Text,
            ["url"] = Url,
            ["products"] = ListOf(Kind.Product),
            ["products_count"] = Number,
        },
        [Kind.Paginate] = new()
        {
            ["current_page"] = Number,
            ["current_offset"] = Number,
            ["items"] = Number,
            ["page_size"] = Number,
            ["pages"] = Number,
            ["previous"] = new(Kind.PageLink),
            ["next"] = new(Kind.PageLink),
            ["parts"] = ListOf(Kind.PageLink),
        },
        [Kind.PageLink] = new() { ["title"] = Text, ["url"] = Url, ["is_link"] = Boolean },
        [Kind.ForLoop] = new()
        {
            ["index"] = Number,
            ["index0"] = Number,
            ["rindex"] = Number,
            ["rindex0"] = Number,
            ["first"] = Boolean,
            ["last"] = Boolean,
            ["length"] = Number,
            ["parentloop"] = new(Kind.ForLoop),
        },
    };
}
