using System.Globalization;
using System.Text.Encodings.Web;
using Fluid;
using Fluid.Ast;
using Fluid.Values;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>Renders <c>paginate</c> and <c>capture</c>.</summary>
internal sealed class BlockRenderer : IBlockRenderer
{
    // Shopify's limits are the same.
    private const int MaxPageSize = 250;
    private const int LinksAround = 2;

    public async ValueTask<Completion> PaginateAsync(Pagination pagination, IReadOnlyList<Statement> body, TextWriter output, TextEncoder encoder, TemplateContext context)
    {
        var scope = RenderScope.Of(context);
        var items = (await pagination.List.EvaluateAsync(context)).Enumerate(context).ToList();
        var size = (int)Math.Clamp((await pagination.Size.EvaluateAsync(context)).ToNumberValue(), 1, MaxPageSize);
        scope.Numbers = Math.Max(1, (items.Count + size - 1) / size);
        var shown = new ArrayValue(items.Skip((scope.Number - 1) * size).Take(size).ToList());

        var segments = ((MemberExpression)pagination.List).Segments;
        var name = ((IdentifierSegment)segments[0]).Identifier;
        var whole = context.GetValue(name);
        context.SetValue(name, segments.Count == 1 ? shown : new ReplacedFieldValue(whole, ((IdentifierSegment)segments[1]).Identifier, shown));
        context.SetValue("paginate", Links(scope, items.Count, size));
        var completion = await body.RenderStatementsAsync(output, encoder, context);
        // Not a scope of its own, so that variables assigned in the block exist after it, as in Shopify.
        context.SetValue(name, whole);
        context.SetValue("paginate", NilValue.Instance);
        return completion;
    }

    public async ValueTask<Completion> CaptureAsync(Capture capture, IReadOnlyList<Statement> body, TextEncoder encoder, TemplateContext context)
    {
        using var writer = new LimitedWriter(RenderScope.Of(context));
        var completion = await body.RenderStatementsAsync(writer, encoder, context);
        context.SetValue(capture.Name, new StringValue(writer.ToString(), encode: false));
        return completion;
    }

    private static FieldsValue Links(RenderScope scope, int count, int size)
    {
        // The first and last parts, and those around the current one.
        var numbers = Enumerable.Range(1, scope.Numbers).Where(n => n == 1 || n == scope.Numbers || Math.Abs(n - scope.Number) <= LinksAround).ToList();
        var parts = new List<FluidValue>();
        foreach (var (index, number) in numbers.Index())
        {
            if (index > 0 && number > numbers[index - 1] + 1)
                parts.Add(Part("…", null));
            parts.Add(Part(number.ToString(CultureInfo.InvariantCulture), number == scope.Number ? null : UrlOf(scope, number)));
        }

        return new(new Dictionary<string, FluidValue>
        {
            ["current_page"] = NumberValue.Create(scope.Number),
            ["current_offset"] = NumberValue.Create((scope.Number - 1) * size),
            ["items"] = NumberValue.Create(count),
            ["page_size"] = NumberValue.Create(size),
            ["pages"] = NumberValue.Create(scope.Numbers),
            ["previous"] = scope.Number > 1 ? Part("«", UrlOf(scope, scope.Number - 1)) : NilValue.Instance,
            ["next"] = scope.Number < scope.Numbers ? Part("»", UrlOf(scope, scope.Number + 1)) : NilValue.Instance,
            ["parts"] = new ArrayValue(parts),
        });
    }

    private static FieldsValue Part(string title, string? url) => new(new Dictionary<string, FluidValue>
    {
        ["title"] = new StringValue(title),
        ["url"] = url is null ? NilValue.Instance : new StringValue(url),
        ["is_link"] = BooleanValue.Create(url is not null),
    });

    private static string UrlOf(RenderScope scope, int number) => StorePaths.Link(scope.Root, StorePaths.Numbered(scope.FirstPath, number));
}
