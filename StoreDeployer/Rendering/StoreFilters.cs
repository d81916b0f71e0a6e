using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using Fluid;
using Fluid.Values;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>The filters that templates may use (<see cref="TemplateFilters"/>): Fluid's own, and those that Shopify has for shops.</summary>
internal static class StoreFilters
{
    // Characters of one value. The whole page is limited too, but a value can be doubled in a loop without being written.
    private const int MaxTextLength = 256 * 1024;
    private const int MaxListLength = 20_000;
    private const int MaxReplacement = 16 * 1024 * 1024;

    private static readonly JavaScriptEncoder JsonEncoder = JavaScriptEncoder.Create(UnicodeRanges.All);

    private static readonly Dictionary<string, Func<FluidValue, FilterArguments, RenderScope, FluidValue>> Own = new()
    {
        // Outputs are escaped when they are written. Here, JSON becomes a text that is.
        ["escape"] = (input, _, _) => input.IsNil() ? input : new StringValue(input.ToStringValue()),
        ["escape_once"] = (input, _, _) => new StringValue(System.Net.WebUtility.HtmlDecode(input.ToStringValue())),
        ["newline_to_br"] = (input, _, _) => new StringValue(
            string.Join("<br>\n", input.ToStringValue().ReplaceLineEndings("\n").Split('\n').Select(RenderScope.Encoder.Encode)), encode: false),
        ["json"] = (input, _, scope) => new StringValue(Json(writer => Write(writer, input, scope, depth: 0)), encode: false),
        ["structured_data"] = (input, _, scope) => new StringValue(Json(writer => StructuredData.Write(writer, input, scope)), encode: false),
        ["money"] = (input, _, scope) => Money(input, scope.Model.Currency.Format),
        ["money_with_currency"] = (input, _, scope) => Money(input, amount => $"{scope.Model.Currency.Format(amount)} {scope.Model.Currency.Code}"),
        ["money_without_currency"] = (input, _, scope) => Money(input, scope.Model.Currency.FormatNumber),
        ["money_without_trailing_zeros"] = (input, _, scope) => Money(input, scope.Model.Currency.FormatWithoutZeros),
        ["image_url"] = (input, _, _) => input is ImageValue image ? new StringValue(image.Src) : input,
        ["asset_url"] = (input, _, scope) => new StringValue(scope.AssetUrl(input.ToStringValue())),
        ["page_url"] = (input, _, scope) => new StringValue(StorePaths.Link(scope.Root, input.ToStringValue())),
    };

    public static void AddTo(FilterCollection filters)
    {
        var fluids = TemplateFilters.Names.Where(name => !Own.ContainsKey(name)).ToDictionary(
            name => name, name => filters.TryGetValue(name, out var filter) ? filter : throw new InvalidOperationException($"Fluid has no filter {name}."));
        filters.Clear();
        foreach (var (name, filter) in fluids)
            filters.AddFilter(name, (input, arguments, context) => ApplyAsync(name, filter, input, arguments, context));
        foreach (var (name, filter) in Own)
        {
            filters.AddFilter(name, (input, arguments, context) =>
            {
                var scope = RenderScope.Of(context);
                scope.CheckTime();
                return new(Limited(name, filter(input, arguments, scope), scope));
            });
        }
    }

    private static async ValueTask<FluidValue> ApplyAsync(string name, FilterDelegate filter, FluidValue input, FilterArguments arguments, TemplateContext context)
    {
        var scope = RenderScope.Of(context);
        scope.CheckTime();
        if (name.StartsWith("replace", StringComparison.Ordinal) && (long)input.ToStringValue().Length * arguments.At(1).ToStringValue().Length > MaxReplacement)
            throw scope.Exceeded($"the filter {name} makes a text of more than {MaxTextLength} characters");
        var culture = context.CultureInfo;
        try
        {
            // Only dates are written for the shop's locale: numbers may stand in CSS and JSON.
            if (name == "date")
                context.CultureInfo = scope.Model.Culture;
            var result = await filter(input, arguments, context);
            return Limited(name, result, scope) switch
            {
                // at_least, for example, gives back its input.
                not NumberValue when TemplateFilters.MakesNumber(name) && !result.IsNil() => NumberValue.Create(result.ToNumberValue()),
                // Whatever a filter makes of escaped text is escaped again.
                StringValue { Encode: false } text => new StringValue(text.ToStringValue()),
                _ => result,
            };
        }
        finally
        {
            context.CultureInfo = culture;
        }
    }

    private static FluidValue Limited(string name, FluidValue result, RenderScope scope) => result switch
    {
        StringValue text when text.ToStringValue().Length > MaxTextLength => throw scope.Exceeded($"the filter {name} makes a text of more than {MaxTextLength} characters"),
        ArrayValue list when list.Values.Count > MaxListLength => throw scope.Exceeded($"the filter {name} makes a list of more than {MaxListLength} items"),
        _ => result,
    };

    private static FluidValue Money(FluidValue input, Func<decimal, string> format) => input.IsNil() ? input : new StringValue(format(input.ToNumberValue()));

    private static string Json(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JsonEncoder }))
            write(writer);
        return System.Text.Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }

    private static void Write(Utf8JsonWriter writer, FluidValue value, RenderScope scope, int depth)
    {
        switch (value)
        {
            case ModelValue { JsonFields: { Count: > 0 } fields } model when depth < 3:
                writer.WriteStartObject();
                foreach (var field in fields)
                {
                    writer.WritePropertyName(field);
                    Write(writer, model.Field(field), scope, depth + 1);
                }
                writer.WriteEndObject();
                break;
            case { Type: FluidValues.Array } when depth < 3:
                writer.WriteStartArray();
                foreach (var item in value.Enumerate(scope.Context))
                    Write(writer, item, scope, depth + 1);
                writer.WriteEndArray();
                break;
            case NumberValue number:
                writer.WriteNumberValue(number.ToNumberValue());
                break;
            case BooleanValue boolean:
                writer.WriteBooleanValue(boolean.ToBooleanValue());
                break;
            case StringValue text:
                writer.WriteStringValue(text.ToStringValue());
                break;
            default:
                writer.WriteNullValue();
                break;
        }
    }
}
