using System.Text.Json;
using Fluid.Values;

namespace Platform.StoreDeployer.Rendering;

/// <summary>JSON-LD for search engines (schema.org's Product, Offer and ItemList), as Shopify's filter <c>structured_data</c> writes it.</summary>
internal static class StructuredData
{
    // Search engines read the beginning of long lists only.
    private const int MaxItems = 100;

    public static void Write(Utf8JsonWriter writer, FluidValue value, RenderScope scope)
    {
        writer.WriteStartObject();
        writer.WriteString("@context", "https://schema.org");
        if (value is ProductValue product)
            WriteProduct(writer, product, scope);
        else if (value is CollectionValue collection)
            WriteList(writer, collection, scope);
        writer.WriteEndObject();
    }

    private static void WriteProduct(Utf8JsonWriter writer, ProductValue value, RenderScope scope)
    {
        var product = value.Product;
        var url = scope.Absolute(value.Field("url").ToStringValue());
        writer.WriteString("@type", "Product");
        writer.WriteString("name", product.Name);
        writer.WriteString("sku", product.Sku);
        writer.WriteString("url", url);
        if (product.Description is { Length: > 0 } description)
            writer.WriteString("description", description);
        if (product.ImageUrl is { Length: > 0 } image)
            writer.WriteString("image", scope.Absolute(image));
        if (product.Variants.Count == 0)
        {
            writer.WriteStartObject("offers");
            WriteOffer(writer, product.Price, product.Available, url, scope);
        }
        else
        {
            writer.WriteStartObject("offers");
            writer.WriteString("@type", "AggregateOffer");
            writer.WriteString("lowPrice", Amount(product.LowestPrice, scope));
            writer.WriteString("highPrice", Amount(product.HighestPrice, scope));
            writer.WriteString("priceCurrency", scope.Model.Currency.Code);
            writer.WriteNumber("offerCount", product.Variants.Count);
            writer.WriteStartArray("offers");
            foreach (var variant in product.Variants)
            {
                writer.WriteStartObject();
                writer.WriteString("sku", variant.Sku);
                WriteOffer(writer, variant.Price, variant.Available, url, scope);
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
        }
        writer.WriteEndObject();
    }

    private static void WriteOffer(Utf8JsonWriter writer, decimal price, bool available, string url, RenderScope scope)
    {
        writer.WriteString("@type", "Offer");
        writer.WriteString("price", Amount(price, scope));
        writer.WriteString("priceCurrency", scope.Model.Currency.Code);
        writer.WriteString("availability", available ? "https://schema.org/InStock" : "https://schema.org/OutOfStock");
        writer.WriteString("url", url);
    }

    private static void WriteList(Utf8JsonWriter writer, CollectionValue value, RenderScope scope)
    {
        writer.WriteString("@type", "ItemList");
        writer.WriteString("name", value.Collection.Name);
        writer.WriteString("url", scope.Absolute(value.Field("url").ToStringValue()));
        writer.WriteStartArray("itemListElement");
        foreach (var (position, product) in value.Field("products").Enumerate(scope.Context).OfType<ProductValue>().Take(MaxItems).Index())
        {
            writer.WriteStartObject();
            writer.WriteString("@type", "ListItem");
            writer.WriteNumber("position", position + 1);
            writer.WriteString("name", product.Product.Name);
            writer.WriteString("url", scope.Absolute(product.Field("url").ToStringValue()));
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static string Amount(decimal price, RenderScope scope) =>
        price.ToString($"F{scope.Model.Currency.Decimals}", System.Globalization.CultureInfo.InvariantCulture);
}
