using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using HandlebarsDotNet;
using Platform.StoreDeployer.Releases;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>A compiled bundle, which renders the files of a shop's store. Thread-safe. Compiling is expensive, so instances are cached.</summary>
internal sealed partial class StoreTemplate
{
    private readonly RenderLimits _limits;
    private readonly TemplateManifest _manifest;
    private readonly IReadOnlyDictionary<string, ReleaseFile> _assets;
    private readonly Dictionary<string, HandlebarsTemplate<TextWriter, object, object>> _pages = [];
    // Helpers, partials and iterators find the scope here because Handlebars.Net offers no way to pass it to them.
    private readonly AsyncLocal<RenderScope?> _scope = new();

    /// <summary>Compiles every template of the bundle.</summary>
    /// <exception cref="RenderException">A template is invalid, or exceeds the limits.</exception>
    public StoreTemplate(TemplateBundle bundle, RenderLimits limits)
    {
        (_limits, _manifest) = (limits, bundle.Manifest);
        _assets = AssetLinks.Resolve(bundle.Assets);

        var handlebars = Handlebars.Create(Configuration());
        handlebars.RegisterHelpers(this);
        foreach (var (path, source) in bundle.Sources)
        {
            var template = Compile(handlebars, path, source);
            if (path.StartsWith(TemplateLanguage.PartialsFolder, StringComparison.Ordinal))
                handlebars.RegisterTemplate(TemplateLanguage.PartialName(path), Counted(template));
            else
                _pages[path] = template;
        }
    }

    private RenderScope Scope => _scope.Value ?? throw new InvalidOperationException("Nothing is being rendered on this thread.");

    /// <summary>Renders all pages, synchronously. <paramref name="time"/> provides the year and measures the time limit.</summary>
    /// <exception cref="RenderException">The template can't be rendered for this shop.</exception>
    /// <exception cref="TimeoutException">Rendering took longer than the limit.</exception>
    public IReadOnlyList<ReleaseFile> Render(StoreSpec store, TimeProvider time, CancellationToken cancellationToken)
    {
        if (store.Products.GroupBy(product => product.UrlSlug).FirstOrDefault(group => group.Count() > 1) is { } same)
            throw new RenderException("duplicate-product", $"Two products would have the address {same.Key}.");
        var scope = new RenderScope(_limits, time, cancellationToken);
        var model = new StoreModel(store, _manifest, time.GetUtcNow().Year);
        var files = _assets.Values.DistinctBy(file => file.Path).ToList();
        long size = 0;
        _scope.Value = scope;
        try
        {
            foreach (var page in _manifest.Pages)
            {
                foreach (var (path, product) in Paths(page, store))
                {
                    var file = ReleaseFile.Page(path, Render(page.Template, path, product, store, model, scope));
                    if ((size += file.Content.Length) > _limits.StoreSize)
                        throw new RenderException("render-limit", $"The store's pages are larger than {_limits.StoreSize} bytes.");
                    files.Add(file);
                }
            }
        }
        finally
        {
            _scope.Value = null;
        }

        if (files.GroupBy(file => file.Path, StringComparer.OrdinalIgnoreCase).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new RenderException("duplicate-page", $"Two pages would be at {twice.Key}.");
        return files;
    }

    private byte[] Render(string template, string path, ProductSpec? product, StoreSpec store, StoreModel model, RenderScope scope)
    {
        scope.Begin(path, StorePaths.RootOf(path, store.RootPath));
        using var writer = new LimitedWriter(scope);
        try
        {
            _pages[template](writer, model.ForPage(path, scope.Root, product), null!);
        }
        catch (HandlebarsException e)
        {
            throw Cause<RenderException>(e) ?? Cause<TimeoutException>(e) ?? Cause<OperationCanceledException>(e)
                ?? (Exception)new RenderException("template-invalid", $"{template} can't be rendered for {path}: {e.Message}", e);
        }

        return Encoding.UTF8.GetBytes(writer.ToString());
    }

    private static IEnumerable<(string Path, ProductSpec? Product)> Paths(TemplatePage page, StoreSpec store) =>
        page.ForEach is null ? [(page.Path, null)] : store.Products.Select(product => (page.PathFor(product.UrlSlug), (ProductSpec?)product));

    private HandlebarsConfiguration Configuration()
    {
        var configuration = new HandlebarsConfiguration
        {
            FormatProvider = CultureInfo.InvariantCulture,
            TextEncoder = new HtmlTextEncoder(),
            // By default Handlebars.Net looks for partials in the file system.
            PartialTemplateResolver = new NoOtherPartials(),
            FileSystem = null,
            PartialRecursionDepthLimit = (short)(TemplateLanguage.MaxPartialDepth + 1),
        };
        configuration.ObjectDescriptorProviders.Add(new ModelDescriptors(() => Scope));
        return configuration;
    }

    private static HandlebarsTemplate<TextWriter, object, object> Compile(IHandlebars handlebars, string path, string text)
    {
        if (text.Length > TemplateLanguage.MaxSourceLength)
            throw new RenderException("template-invalid", $"{path} is longer than {TemplateLanguage.MaxSourceLength} characters.");
        // Handlebars.Net's compiler is recursive, and a stack overflow would end the process.
        if (Subexpression().IsMatch(text))
            throw new RenderException("template-invalid", $"{path} has an expression within an expression.");
        var depth = 0;
        foreach (var tag in Tags().EnumerateMatches(text))
        {
            depth += text.AsSpan(tag.Index, tag.Length) is [.., '/'] ? -1 : 1;
            if (depth > TemplateLanguage.MaxBlockDepth)
                throw new RenderException("template-invalid", $"{path} nests blocks more than {TemplateLanguage.MaxBlockDepth} deep.");
        }

        try
        {
            // Handlebars.Net 2.4.3 doesn't escape the output of an indented partial on a line of its own, so the indentation is removed.
            using var reader = new StringReader(PartialIndent().Replace(text, "${partial}"));
            return handlebars.Compile(reader);
        }
        catch (HandlebarsException e)
        {
            throw new RenderException("template-invalid", $"{path} can't be compiled: {e.Message}", e);
        }
    }

    // Partials that call partials can take exponential time without a loop and without output, so each call counts as an iteration.
    private HandlebarsTemplate<TextWriter, object, object> Counted(HandlebarsTemplate<TextWriter, object, object> partial) => (writer, context, data) =>
    {
        Scope.Iterate();
        partial(writer, context, data);
    };

    private static T? Cause<T>(Exception exception) where T : Exception
    {
        for (Exception? cause = exception; cause is not null; cause = cause.InnerException)
        {
            if (cause is T found)
                return found;
        }

        return null;
    }

    /// <summary>The address of an asset, relative to the current page.</summary>
    internal string Asset(string name) => _assets.TryGetValue(name, out var file)
        ? Scope.Root + file.Path
        : throw new RenderException("asset-missing", $"{Scope.Path} names the asset {name}, which is not in the bundle.");

    /// <summary>The address of one of the store's pages, relative to the current page.</summary>
    internal string Link(string path) => StorePaths.Link(Scope.Root, path);

    [GeneratedRegex(@"^[ \t]+(?<partial>\{\{~?\s*>)", RegexOptions.NonBacktracking | RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex PartialIndent();

    [GeneratedRegex(@"\{\{~?[#^/]", RegexOptions.NonBacktracking)]
    private static partial Regex Tags();

    [GeneratedRegex(@"\{\{[^}]*\(", RegexOptions.NonBacktracking)]
    private static partial Regex Subexpression();

    private sealed class HtmlTextEncoder : ITextEncoder
    {
        public void Encode(StringBuilder? text, TextWriter target) => Encode(text?.ToString(), target);

        public void Encode(string? text, TextWriter target) => TemplateLanguage.Escape(text, target);

        public void Encode<T>(T? text, TextWriter target) where T : IEnumerator<char>
        {
            var collected = new StringBuilder();
            while (text?.MoveNext() == true)
                collected.Append(text.Current);
            Encode(collected, target);
        }
    }

    private sealed class NoOtherPartials : IPartialTemplateResolver
    {
        public bool TryRegisterPartial(IHandlebars env, string? partialName, string? templatePath) => false;
    }
}
