using System.Text.Encodings.Web;
using System.Text.Unicode;
using Fluid;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Rendering;

/// <summary>A template can't be rendered, and retrying can't help: the deployment fails.</summary>
internal sealed class RenderException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Stable kebab-case code of the deployment's error.</summary>
    public string Code { get; } = code;
}

/// <summary>Resource limits of rendering. Templates that pass the checks at publishing stay far below them.</summary>
internal sealed record RenderLimits
{
    /// <summary>Time for all pages of a store; 1 min, for 10,000 products on a busy machine.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Characters of one page, including those that it captures; 1 Mi.</summary>
    public int PageLength { get; init; } = 1024 * 1024;

    /// <summary>Bytes of all pages of a store; 256 MiB.</summary>
    public long StoreSize { get; init; } = 256 * 1024 * 1024;

    /// <summary>Statements that one page executes; 100,000.</summary>
    public int Steps { get; init; } = 100_000;
}

/// <summary>The page being rendered: the prefix of its links, the part of a list that it shows, and its use of the limits.</summary>
internal sealed class RenderScope(
    StoreSpec store, StoreModel model, IReadOnlyDictionary<string, ReleaseFile> assets, RenderLimits limits, TimeProvider time, CancellationToken cancellationToken)
{
    /// <summary>Escapes what merchants type, in HTML's text and quoted attribute values alike.</summary>
    public static readonly HtmlEncoder Encoder = HtmlEncoder.Create(UnicodeRanges.All);

    private const string Key = "scope";

    private readonly long _started = time.GetTimestamp();
    private int _written;

    public StoreModel Model => model;

    /// <summary>The prefix of this page's links: <c>""</c>, <c>"../../"</c>, or on the 404 page, which is shown at any address, the absolute path of the store's root.</summary>
    public string Root { get; private set; } = "";

    public string Path { get; private set; } = "";

    /// <summary>The path of the first of the pages over which a list is spread.</summary>
    public string FirstPath { get; private set; } = "";

    /// <summary>Which part of the list of <c>{% paginate %}</c> the page shows, from 1.</summary>
    public int Number { get; private set; } = 1;

    /// <summary>How many parts the list has; 1 without <c>{% paginate %}</c>.</summary>
    public int Numbers { get; set; } = 1;

    public static RenderScope Of(TemplateContext context) => (RenderScope)context.AmbientValues[Key];

    /// <summary>Fluid's context of the page.</summary>
    public TemplateContext? Context { get; private set; }

    public void AddTo(TemplateContext context)
    {
        context.AmbientValues[Key] = this;
        Context = context;
    }

    public void Begin(string firstPath, int number)
    {
        (FirstPath, Path) = (firstPath, StorePaths.Numbered(firstPath, number));
        (Root, Number, Numbers, _written) = (StorePaths.RootOf(Path, store.RootPath), number, 1, 0);
    }

    public void Write(int length)
    {
        _written += length;
        if (_written > limits.PageLength)
            throw Exceeded($"the page is longer than {limits.PageLength} characters");
        CheckTime();
    }

    public void CheckTime()
    {
        cancellationToken.ThrowIfCancellationRequested();
        // Not a RenderException, which is permanent: a slow or suspended machine must not fail the deployment.
        if (time.GetElapsedTime(_started) > limits.Time)
            throw new TimeoutException($"Rendering took longer than {limits.Time.TotalSeconds} s (at {Path}).");
    }

    public RenderException Exceeded(string limit) => new("render-limit", $"{Path}: {limit}.");

    /// <summary>The address of an asset, relative to the current page.</summary>
    public string AssetUrl(string name) => assets.TryGetValue(name, out var file)
        ? Root + file.Path
        : throw new RenderException("asset-missing", $"{Path} names the asset {name}, which is not in the bundle.");

    /// <summary>The absolute address of a link on the current page.</summary>
    public string Absolute(string address) => Uri.TryCreate(new Uri(store.Url, Path), address, out var absolute) ? absolute.AbsoluteUri : address;
}

/// <summary>Collects a page's text and enforces the limits.</summary>
internal sealed class LimitedWriter(RenderScope scope) : StringWriter(System.Globalization.CultureInfo.InvariantCulture)
{
    public override void Write(char value)
    {
        scope.Write(1);
        base.Write(value);
    }

    public override void Write(char[] buffer, int index, int count)
    {
        scope.Write(count);
        base.Write(buffer, index, count);
    }

    public override void Write(ReadOnlySpan<char> buffer)
    {
        scope.Write(buffer.Length);
        base.Write(buffer);
    }

    public override void Write(string? value)
    {
        scope.Write(value?.Length ?? 0);
        base.Write(value);
    }

    // StringWriter's own asynchronous methods write to its buffer directly.
    public override Task WriteAsync(char value)
    {
        Write(value);
        return Task.CompletedTask;
    }

    public override Task WriteAsync(string? value)
    {
        Write(value);
        return Task.CompletedTask;
    }

    public override Task WriteAsync(char[] buffer, int index, int count)
    {
        Write(buffer, index, count);
        return Task.CompletedTask;
    }

    public override Task WriteAsync(ReadOnlyMemory<char> buffer, CancellationToken cancellationToken = default)
    {
        Write(buffer.Span);
        return Task.CompletedTask;
    }
}
