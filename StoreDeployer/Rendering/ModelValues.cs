using System.Globalization;
using System.Text.Encodings.Web;
using Fluid;
using Fluid.Values;

namespace Platform.StoreDeployer.Rendering;

/// <summary>An object of the templates' model. Its fields are computed when they are read, because a shop can have 10,000 products.</summary>
internal abstract class ModelValue : FluidValue
{
    public override FluidValues Type => FluidValues.Object;

    /// <summary>The names of the fields that the filter <c>json</c> writes.</summary>
    public virtual IReadOnlyList<string> JsonFields => [];

    public abstract FluidValue Field(string name);

    public override ValueTask<FluidValue> GetValueAsync(string name, TemplateContext context) => new(Field(name));

    public override bool Equals(FluidValue? other) => ReferenceEquals(this, other);

    public override bool ToBooleanValue() => true;

    public override decimal ToNumberValue() => 0;

    public override string ToStringValue() => "";

    public override object ToObjectValue() => this;

    public override ValueTask WriteToAsync(TextWriter writer, TextEncoder encoder, CultureInfo cultureInfo) => default;

    [Obsolete("Fluid calls the asynchronous method.")]
    public override void WriteTo(TextWriter writer, TextEncoder encoder, CultureInfo cultureInfo)
    {
    }

    // An empty text is nil, because in Liquid an empty string is true.
    protected static FluidValue Text(string? text) => string.IsNullOrEmpty(text) ? NilValue.Instance : new StringValue(text);

    protected static FluidValue Number(decimal? number) => number is { } value ? NumberValue.Create(value) : NilValue.Instance;

    protected static FluidValue Boolean(bool value) => BooleanValue.Create(value);
}

/// <summary>An object with given fields.</summary>
internal sealed class FieldsValue(IReadOnlyDictionary<string, FluidValue> fields) : ModelValue
{
    public override IReadOnlyList<string> JsonFields => [.. fields.Keys];

    public override FluidValue Field(string name) => fields.GetValueOrDefault(name, NilValue.Instance);
}

/// <summary>An object with one field replaced: in <c>{% paginate collection.products by 24 %}</c>, the collection has the products of one page.</summary>
internal sealed class ReplacedFieldValue(FluidValue inner, string field, FluidValue value) : ModelValue
{
    public override FluidValue Field(string name) => name == field ? value : inner is ModelValue model ? model.Field(name) : NilValue.Instance;
}

/// <summary>The picture of a product.</summary>
internal sealed class ImageValue(string src, string alt) : ModelValue
{
    public string Src => src;

    public override IReadOnlyList<string> JsonFields => ["src", "alt"];

    public override FluidValue Field(string name) => name switch
    {
        "src" => Text(src),
        "alt" => Text(alt),
        _ => NilValue.Instance,
    };
}

/// <summary>A variant of a product, such as one size in one colour.</summary>
internal sealed class VariantValue(VariantSpec variant, CurrencyFormat currency) : ModelValue
{
    public override IReadOnlyList<string> JsonFields => ["title", "sku", "options", "price", "available"];

    public override FluidValue Field(string name) => name switch
    {
        "title" => Text(string.Join(" / ", variant.Values)),
        "sku" => Text(variant.Sku),
        "options" => new ArrayValue([.. variant.Values.Select(value => (FluidValue)new StringValue(value))]),
        "option1" => Text(variant.Values.ElementAtOrDefault(0)),
        "option2" => Text(variant.Values.ElementAtOrDefault(1)),
        "option3" => Text(variant.Values.ElementAtOrDefault(2)),
        "price" => Number(currency.ToMinorUnits(variant.Price)),
        "available" => Boolean(variant.Available),
        _ => NilValue.Instance,
    };
}

/// <summary>A product, with addresses relative to the page that is rendered.</summary>
internal sealed class ProductValue(ProductSpec product, StoreModel.PageModel page) : ModelValue
{
    public ProductSpec Product => product;

    public override IReadOnlyList<string> JsonFields =>
        ["title", "handle", "sku", "description", "url", "price", "price_min", "price_max", "compare_at_price", "available", "images", "options", "variants"];

    public override FluidValue Field(string name) => name switch
    {
        "title" => Text(product.Name),
        "handle" => Text(product.UrlSlug),
        "sku" => Text(product.Sku),
        "description" => Text(product.Description),
        "url" => Text(page.ProductUrl(product)),
        "price" or "price_min" => Number(page.Currency.ToMinorUnits(product.LowestPrice)),
        "price_max" => Number(page.Currency.ToMinorUnits(product.HighestPrice)),
        "price_varies" => Boolean(product.LowestPrice != product.HighestPrice),
        "compare_at_price" => product.CompareAtPrice is { } price ? Number(page.Currency.ToMinorUnits(price)) : NilValue.Instance,
        "available" => Boolean(product.Available),
        "featured_image" => product.ImageUrl is { Length: > 0 } url ? new ImageValue(url, product.Name) : NilValue.Instance,
        "images" => product.ImageUrl is { Length: > 0 } url ? new ArrayValue([new ImageValue(url, product.Name)]) : ArrayValue.Empty,
        "options" => new ArrayValue([.. product.Options.Select(option => (FluidValue)new StringValue(option))]),
        "variants" => new ArrayValue([.. product.Variants.Select(variant => (FluidValue)new VariantValue(variant, page.Currency))]),
        "has_only_default_variant" => Boolean(product.Variants.Count == 0),
        "collections" => page.CollectionsOf(product),
        _ => NilValue.Instance,
    };
}

/// <summary>A collection, with addresses relative to the page that is rendered.</summary>
internal sealed class CollectionValue(CollectionSpec collection, StoreModel.PageModel page) : ModelValue
{
    // Menus show the collections on every page of a store.
    private ArrayValue? _products;

    public CollectionSpec Collection => collection;

    private ArrayValue Products => _products ??= page.ProductsOf(collection);

    public override IReadOnlyList<string> JsonFields => ["title", "handle", "description", "url", "products_count"];

    public override FluidValue Field(string name) => name switch
    {
        "title" => Text(collection.Name),
        "handle" => Text(collection.Slug),
        "description" => Text(collection.Description),
        "url" => Text(page.CollectionUrl(collection)),
        "products" => Products,
        "products_count" => Number(Products.Values.Count),
        _ => NilValue.Instance,
    };
}

/// <summary>The shop's collections, as a list and by their handle: <c>collections['summer']</c>.</summary>
internal sealed class CollectionsValue(IReadOnlyList<FluidValue> collections, IReadOnlyDictionary<string, FluidValue> byHandle) : ModelValue
{
    public override FluidValues Type => FluidValues.Array;

    public override FluidValue Field(string name) => name switch
    {
        "size" => Number(collections.Count),
        "first" => collections.Count > 0 ? collections[0] : NilValue.Instance,
        "last" => collections.Count > 0 ? collections[^1] : NilValue.Instance,
        _ => byHandle.GetValueOrDefault(name, NilValue.Instance),
    };

    public override ValueTask<FluidValue> GetIndexAsync(FluidValue index, TemplateContext context) => new(
        index.Type != FluidValues.Number ? byHandle.GetValueOrDefault(index.ToStringValue(), NilValue.Instance)
        : index.ToNumberValue() is >= 0 and var at && at < collections.Count ? collections[(int)at]
        : NilValue.Instance);

    public override IEnumerable<FluidValue> Enumerate(TemplateContext context) => collections;

    public override decimal ToNumberValue() => collections.Count;
}
