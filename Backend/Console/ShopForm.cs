using System.Globalization;
using System.Text;
using System.Text.Json;
using Platform.Backend.Shops;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>
/// A shop's form as it was filled in, as text, so that an invalid form is shown again unchanged. Fields are named as in the API, so that the
/// API's validation errors can be shown beside them.
/// </summary>
public sealed class ShopForm
{
    /// <summary>The hidden field that says that the form showed no products, so that saving it later doesn't delete them.</summary>
    public const string KeepsProductsField = "keeps-products";

    private const int MaxSuggestedSlug = 50;

    /// <summary>Letters without their accents. Spelled out because invariant globalization has no Unicode decomposition.</summary>
    private static readonly Dictionary<char, string> Plain = new (string Letters, string Plain)[]
    {
        ("àáâãäåāăą", "a"), ("çćĉċč", "c"), ("ďđð", "d"), ("èéêëēĕėęě", "e"), ("ĝğġģ", "g"), ("ĥħ", "h"), ("ìíîïĩīĭįı", "i"), ("ĵ", "j"), ("ķ", "k"),
        ("ĺļľŀł", "l"), ("ñńņňŋ", "n"), ("òóôõöøōŏő", "o"), ("ŕŗř", "r"), ("śŝşšș", "s"), ("ţťŧț", "t"), ("ùúûüũūŭůűų", "u"), ("ŵ", "w"), ("ýÿŷ", "y"),
        ("źżž", "z"), ("ß", "ss"), ("æ", "ae"), ("œ", "oe"), ("þ", "th"), ("'’", ""),
    }.SelectMany(entry => entry.Letters.Select(letter => (letter, entry.Plain))).ToDictionary(pair => pair.letter, pair => pair.Plain);

    /// <summary>The template version whose parameters are the settings' fields.</summary>
    public required TemplateVersion Template { get; init; }

    public string Name { get; set; } = "";

    public string Slug { get; set; } = "";

    /// <summary>The shop's ETag when the form was opened; empty for a new shop.</summary>
    public string ETag { get; set; } = "";

    public Dictionary<string, string> Settings { get; init; } = new(StringComparer.Ordinal);

    public List<ProductRow> Products { get; init; } = [];

    /// <summary>Whether the shop has too many products for a form, which then leaves them as they are.</summary>
    public bool KeepsProducts { get; init; }

    /// <summary>Violated rules by field.</summary>
    public Dictionary<string, string[]> Errors { get; } = new(StringComparer.Ordinal);

    /// <summary>The row that was just added; it gets the focus.</summary>
    public int? AddedRow { get; private set; }

    /// <summary>An empty form with the template's defaults.</summary>
    public static ShopForm ForNew(TemplateVersion template) => new()
    {
        Template = template,
        Settings = template.Parameters.ToDictionary(parameter => parameter.Name, DefaultOf, StringComparer.Ordinal),
        Products = [new ProductRow { Currency = "EUR" }],
    };

    /// <summary>The form of an existing shop.</summary>
    public static ShopForm Of(Shop shop, TemplateVersion template, string etag) => new()
    {
        Template = template,
        ETag = etag,
        Name = shop.Name,
        Slug = shop.Slug,
        Settings = template.Parameters.ToDictionary(
            parameter => parameter.Name,
            parameter => shop.Settings.TryGetValue(parameter.Name, out var value) ? FormField.TextOf(value) : DefaultOf(parameter),
            StringComparer.Ordinal),
        Products = [.. shop.Products.Select(ProductRow.Of)],
        KeepsProducts = shop.ProductCount > ShopRules.MaxProducts,
    };

    /// <summary>The form as it was submitted, without blank product rows.</summary>
    public static ShopForm Read(IFormCollection form, TemplateVersion template)
    {
        var read = new ShopForm
        {
            Template = template,
            Name = TextOf(form, "name"),
            Slug = TextOf(form, "slug").Trim(),
            ETag = TextOf(form, "etag"),
            KeepsProducts = form.ContainsKey(KeepsProductsField),
        };

        foreach (var parameter in template.Parameters)
        {
            var field = $"settings.{parameter.Name}";
            // A parameter of another template version was not in the submitted form and gets its default; an empty field stays empty.
            read.Settings[parameter.Name] = form.ContainsKey(field) || parameter.Type == "boolean" && form.ContainsKey(ShownField(parameter.Name))
                ? TextOf(form, field)
                : DefaultOf(parameter);
        }

        for (var i = 0; form.ContainsKey($"products[{Text(i)}].sku"); i++)
        {
            var row = ProductRow.Read(name => TextOf(form, $"products[{Text(i)}].{name}"));
            if (!row.IsBlank)
                read.Products.Add(row);
        }

        return read;
    }

    /// <summary>The hidden field that marks a boolean setting as part of the submitted form: browsers don't submit unchecked checkboxes.</summary>
    public static string ShownField(string parameter) => $"shown.{parameter}";

    public FormField NameField => new("name", "Shop name")
    {
        Hint = "As shown to visitors.",
        Value = Name,
        Required = true,
        MaxLength = 100,
        Errors = ErrorsOf("name"),
    };

    public FormField SlugField => new("slug", "Address")
    {
        Hint = "Lowercase letters, digits and hyphens. It can't be changed later. Leave it empty to derive it from the name.",
        Value = Slug,
        MaxLength = 63,
        Prefix = "/stores/",
        SpellCheck = "false",
        Errors = ErrorsOf("slug"),
    };

    public IEnumerable<FormField> SettingsFields => Template.Parameters.Select(parameter =>
        FormField.Of(parameter, Settings.GetValueOrDefault(parameter.Name), ErrorsOf($"settings.{parameter.Name}")));

    public IReadOnlyList<string> ErrorsOf(string field) => Errors.GetValueOrDefault(field, []);

    /// <summary>A field's label in the error summary.</summary>
    public string LabelOf(string field) => field switch
    {
        "name" => NameField.Label,
        "slug" => SlugField.Label,
        "products" => "Products",
        "template" or "template.name" => "Template",
        "template.version" => "Template version",
        _ when RowOf(field) is { } row => $"Product {Text(row + 1)}: {ProductRow.LabelOf(field[(field.IndexOf(']', StringComparison.Ordinal) + 1)..].TrimStart('.'))}",
        _ => Template.Parameters.FirstOrDefault(parameter => field == $"settings.{parameter.Name}")?.Label ?? field,
    };

    /// <summary>A field's position in the form, to sort the error summary.</summary>
    public int OrderOf(string field) => field switch
    {
        "name" => 0,
        "slug" => 1,
        _ when field.StartsWith("settings.", StringComparison.Ordinal) => 2 + Template.Parameters.TakeWhile(parameter => field != $"settings.{parameter.Name}").Count(),
        _ when RowOf(field) is { } row => 1_000 + row,
        _ => 999,
    };

    /// <summary>Carries out <c>add-product</c>, <c>remove-product:2</c> or <c>raise-product:2</c>; returns false for any other action.</summary>
    public bool Rearrange(string action)
    {
        switch (action.Split(':'))
        {
            case ["add-product"]:
                Products.Add(new ProductRow { Currency = Products.Count > 0 ? Products[^1].Currency : "EUR" });
                AddedRow = Products.Count - 1;
                return true;
            // An index out of range is that of a blank row, which is already removed.
            case ["remove-product", var index] when NumberOf(index) is { } row:
                if (row < Products.Count)
                    Products.RemoveAt(row);
                return true;
            case ["raise-product", var index] when NumberOf(index) is { } row:
                if (row > 0 && row < Products.Count)
                    (Products[row - 1], Products[row]) = (Products[row], Products[row - 1]);
                return true;
            default:
                return false;
        }
    }

    /// <summary>Derives the address from the name if it was left empty.</summary>
    public void SuggestSlug()
    {
        if (Slug.Length == 0)
            Slug = SlugOf(Name);
    }

    /// <summary>The products as the API takes them. A price that is not a number is added to <see cref="Errors"/> and read as 0, so that the other rules are checked, too.</summary>
    public IReadOnlyList<ShopProduct> ReadProducts() => [.. Products.Select((row, i) => row.ToProduct(rule => AddError($"products[{Text(i)}].price", rule)))];

    /// <summary>The settings as the API takes them. An empty field means the template's default, but an empty text for text parameters that have a default.</summary>
    public Dictionary<string, JsonElement> ReadSettings()
    {
        var settings = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var parameter in Template.Parameters)
        {
            var text = Settings.GetValueOrDefault(parameter.Name, "");
            switch (parameter.Type)
            {
                case "boolean":
                    settings[parameter.Name] = JsonSerializer.SerializeToElement(text == "true");
                    break;
                case "number" when decimal.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number):
                    settings[parameter.Name] = JsonSerializer.SerializeToElement(number);
                    break;
                case "text" or "multiline" or "url" when DefaultOf(parameter).Length > 0:
                case var _ when text.Length > 0:
                    settings[parameter.Name] = JsonSerializer.SerializeToElement(text);
                    break;
            }
        }

        return settings;
    }

    public void AddErrors(IEnumerable<KeyValuePair<string, string[]>> errors)
    {
        foreach (var (field, rules) in errors)
        {
            foreach (var rule in rules)
                AddError(field, rule);
        }
    }

    public void AddError(string field, string rule) =>
        Errors[field] = Errors.TryGetValue(field, out var rules) ? [.. rules.Append(rule).Distinct(StringComparer.Ordinal)] : [rule];

    /// <summary>Checks everything that the API checks, without creating or changing a shop.</summary>
    internal void Check(ShopInput shop)
    {
        var errors = new ValidationErrors();
        if (shop is NewShop { Slug: var slug })
            ShopRules.CheckSlug(errors, slug);
        ShopRules.Check(errors, shop, known: null, []);
        SettingsRules.Check(errors, Template.Parameters, shop.Settings);
        AddErrors(errors.ToDictionary());
    }

    /// <summary>The fields that differ from the shop as it is now.</summary>
    public IReadOnlyList<(string Label, string Now, string Yours)> DifferencesFrom(ShopForm now)
    {
        var rows = Products.Select((row, i) => (Label: $"Product {Text(i + 1)}", Now: i < now.Products.Count ? now.Products[i].Summary : "", Yours: row.Summary))
            .Concat(now.Products.Skip(Products.Count).Select((row, i) => (Label: $"Product {Text(Products.Count + i + 1)}", Now: row.Summary, Yours: "")));
        return [.. new[] { (NameField.Label, now.Name, Name), (LabelOf("template.version"), now.Template.Version, Template.Version) }
            .Concat(Template.Parameters.Select(parameter =>
                (parameter.Label, now.Settings.GetValueOrDefault(parameter.Name, ""), Settings.GetValueOrDefault(parameter.Name, ""))))
            .Concat(rows)
            .Where(field => field.Item2 != field.Item3)];
    }

    /// <summary>Derives an address from a name: "Café Ünï &amp; Co" gives "cafe-uni-co". Empty when the name has no letter or digit that can be used.</summary>
    public static string SlugOf(string name)
    {
        var slug = new StringBuilder();
        foreach (var letter in name.ToLowerInvariant())
        {
            if (char.IsAsciiLetterOrDigit(letter))
                slug.Append(letter);
            else if (Plain.TryGetValue(letter, out var plain))
                slug.Append(plain);
            else if (slug.Length > 0 && slug[^1] != '-')
                slug.Append('-');
        }

        return slug.ToString(0, Math.Min(slug.Length, MaxSuggestedSlug)).Trim('-');
    }

    private static int? RowOf(string field) =>
        field.StartsWith("products[", StringComparison.Ordinal) && field.IndexOf(']', StringComparison.Ordinal) is > 0 and var end
            ? NumberOf(field.AsSpan("products[".Length..end))
            : null;

    private static int? NumberOf(ReadOnlySpan<char> digits) =>
        int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    private static string DefaultOf(TemplateParameter parameter) => parameter.Default is { } value ? FormField.TextOf(value) : "";

    // Browsers submit line breaks as CRLF, while maxlength counts them as one character.
    private static string TextOf(IFormCollection form, string name) =>
        form[name].FirstOrDefault()?.Replace("\r\n", "\n", StringComparison.Ordinal) ?? "";

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A product as it was entered.</summary>
public sealed record ProductRow
{
    public string Sku { get; init; } = "";

    public string Name { get; init; } = "";

    public string Description { get; init; } = "";

    public string Price { get; init; } = "";

    public string Currency { get; init; } = "";

    public string ImageUrl { get; init; } = "";

    /// <summary>Whether nothing was entered except the currency, which new rows already have.</summary>
    public bool IsBlank => Sku.Length + Name.Length + Description.Length + Price.Length + ImageUrl.Length == 0;

    /// <summary>The product in a few lines, for comparison.</summary>
    public string Summary => string.Join('\n', new[] { $"{Name} ({Sku}), {Price} {Currency}", Description, ImageUrl }.Where(line => line.Length > 0));

    /// <summary>Whether the collapsed part has content.</summary>
    public bool HasDetails => Description.Length + ImageUrl.Length > 0;

    public static ProductRow Of(ShopProduct product) => new()
    {
        Sku = product.Sku,
        Name = product.Name,
        Description = product.Description ?? "",
        Price = product.Price.ToString(CultureInfo.InvariantCulture),
        Currency = product.Currency,
        ImageUrl = product.ImageUrl ?? "",
    };

    public static ProductRow Read(Func<string, string> field) => new()
    {
        Sku = field("sku").Trim(),
        Name = field("name").Trim(),
        Description = field("description"),
        Price = field("price").Trim(),
        Currency = field("currency").Trim().ToUpperInvariant(),
        ImageUrl = field("imageUrl").Trim(),
    };

    public static string LabelOf(string field) => field switch
    {
        "sku" => "SKU",
        "name" => "Name",
        "description" => "Description",
        "price" => "Price",
        "currency" => "Currency",
        "imageUrl" => "Image URL",
        _ => field,
    };

    public ShopProduct ToProduct(Action<string> refusePrice)
    {
        if (!decimal.TryParse(Price, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var price))
            refusePrice("must be a number such as 12.50");

        return new ShopProduct
        {
            Sku = Sku,
            Name = Name,
            Description = Description.Length > 0 ? Description : null,
            Price = price,
            Currency = Currency,
            ImageUrl = ImageUrl.Length > 0 ? ImageUrl : null,
        };
    }
}
