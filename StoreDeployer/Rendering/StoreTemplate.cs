using System.Globalization;
using System.Text;
using Fluid;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Primitives;
using Platform.StoreDeployer.Releases;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>A parsed bundle, which renders the files of a shop's store. Thread-safe. Parsing is expensive, so instances are cached.</summary>
internal sealed class StoreTemplate
{
    private readonly RenderLimits _limits;
    private readonly TemplateManifest _manifest;
    private readonly IReadOnlyDictionary<string, ReleaseFile> _assets;
    private readonly IReadOnlyDictionary<string, TemplateSource> _sources;
    private readonly TemplateOptions _options;

    /// <exception cref="RenderException">An asset is missing.</exception>
    public StoreTemplate(TemplateBundle bundle, RenderLimits limits)
    {
        (_limits, _manifest, _sources) = (limits, bundle.Manifest, bundle.Sources);
        _assets = AssetLinks.Resolve(bundle.Assets);
        _options = new TemplateOptions
        {
            MaxSteps = limits.Steps,
            MaxRecursion = TemplateLanguage.MaxPartialDepth * TemplateParser.MaxBlockDepth,
            ModelNamesComparer = StringComparer.Ordinal,
            CultureInfo = CultureInfo.InvariantCulture,
            TimeZone = TimeZoneInfo.Utc,
            FileProvider = new Partials(_sources),
            TemplateCache = new Partials(_sources),
        };
        StoreFilters.AddTo(_options.Filters);
    }

    /// <summary>Renders all pages, synchronously. <paramref name="time"/> provides the date and measures the time limit.</summary>
    /// <exception cref="RenderException">The template can't be rendered for this shop.</exception>
    /// <exception cref="TimeoutException">Rendering took longer than the limit.</exception>
    public IReadOnlyList<ReleaseFile> Render(StoreSpec store, TimeProvider time, CancellationToken cancellationToken)
    {
        if (store.Products.GroupBy(product => product.UrlSlug).FirstOrDefault(group => group.Count() > 1) is { } same)
            throw new RenderException("duplicate-product", $"Two products would have the address {same.Key}.");
        var model = new StoreModel(store, _manifest);
        var scope = new RenderScope(store, model, _assets, _limits, time, cancellationToken);
        var files = _assets.Values.DistinctBy(file => file.Path).ToList();
        long size = 0;
        foreach (var page in _manifest.Pages)
        {
            foreach (var (path, item) in Paths(page, store))
            {
                var number = 1;
                do
                {
                    scope.Begin(path, number);
                    var file = ReleaseFile.Page(scope.Path, Render(page.Template, item, model, scope, time));
                    if ((size += file.Content.Length) > _limits.StoreSize)
                        throw new RenderException("render-limit", $"The store's pages are larger than {_limits.StoreSize} bytes.");
                    files.Add(file);
                }
                while (++number <= scope.Numbers);
            }
        }

        if (files.GroupBy(file => file.Path, StringComparer.OrdinalIgnoreCase).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new RenderException("duplicate-page", $"Two pages would be at {twice.Key}.");
        return files;
    }

    private byte[] Render(string template, object? item, StoreModel model, RenderScope scope, TimeProvider time)
    {
        var context = new TemplateContext(_options) { Now = time.GetUtcNow };
        scope.AddTo(context);
        foreach (var (name, value) in model.ForPage(scope.Path, scope.Root, item))
            context.SetValue(name, value);
        // Partials see what is in the root scope: the model's objects, but not the page's variables.
        context.EnterChildScope();
        using var writer = new LimitedWriter(scope);
        try
        {
            var rendering = _sources[template].Template.RenderAsync(writer, RenderScope.Encoder, context);
            // Nothing in a template waits, so it is complete already.
            rendering.AsTask().GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is not (RenderException or TimeoutException or OperationCanceledException))
        {
            throw e is InvalidOperationException && e.Message.Contains("maximum", StringComparison.OrdinalIgnoreCase)
                ? scope.Exceeded($"the page executes more than {_limits.Steps} statements")
                : new RenderException("template-invalid", $"{template} can't be rendered for {scope.Path}: {e.Message}", e);
        }

        return Encoding.UTF8.GetBytes(writer.ToString());
    }

    private static IEnumerable<(string Path, object? Item)> Paths(TemplatePage page, StoreSpec store) => page.ForEach switch
    {
        TemplatePage.Products => store.Products.Select(product => (page.PathFor(product.UrlSlug), (object?)product)),
        TemplatePage.Collections => store.Collections.Select(collection => (page.PathFor(collection.Slug), (object?)collection)),
        _ => [(page.Path, null)],
    };

#pragma warning disable FLUID001 // Without a cache of our own, Fluid would parse partials again, with a context that lacks our limits.
    /// <summary>The bundle's partials by the names that templates use. All of them are parsed already, so no file is ever read.</summary>
    private sealed class Partials(IReadOnlyDictionary<string, TemplateSource> sources) : IFileProvider, ITemplateCache
    {
        public IFileInfo GetFileInfo(string subpath) => new Partial(subpath, sources.ContainsKey(TemplateLanguage.PartialEntry(subpath)));

        public bool TryGetTemplate(string subpath, DateTimeOffset lastModified, out IFluidTemplate template)
        {
            template = sources.GetValueOrDefault(TemplateLanguage.PartialEntry(subpath))?.Template!;
            return template is not null;
        }

        public IDirectoryContents GetDirectoryContents(string subpath) => NotFoundDirectoryContents.Singleton;

        public IChangeToken Watch(string filter) => NullChangeToken.Singleton;

        public void SetTemplate(string subpath, DateTimeOffset lastModified, IFluidTemplate template) => throw new NotSupportedException();

        private sealed record Partial(string Name, bool Exists) : IFileInfo
        {
            public bool IsDirectory => false;

            public DateTimeOffset LastModified => default;

            public long Length => 0;

            public string? PhysicalPath => null;

            public Stream CreateReadStream() => throw new NotSupportedException();
        }
    }
#pragma warning restore FLUID001
}
