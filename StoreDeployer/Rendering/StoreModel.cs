using System.Text.Json;
using Fluid.Values;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>Builds the data of a store's pages. docs/templates.md lists the objects and their fields; <see cref="TemplateType"/> has their types.</summary>
internal sealed class StoreModel
{
    private readonly StoreSpec _store;
    private readonly TemplatePage? _productPage;
    private readonly TemplatePage? _collectionPage;
    private readonly Dictionary<string, ProductSpec> _bySku;
    private readonly ILookup<string, CollectionSpec> _collectionsBySku;
    private readonly FieldsValue _shop;
    private readonly FieldsValue _settings;
    private readonly Dictionary<string, PageModel> _pages = [];

    public StoreModel(StoreSpec store, TemplateManifest manifest)
    {
        _store = store;
        _productPage = manifest.Pages.FirstOrDefault(page => page.ForEach == TemplatePage.Products);
        _collectionPage = manifest.Pages.FirstOrDefault(page => page.ForEach == TemplatePage.Collections);
        _bySku = store.Products.ToDictionary(product => product.Sku);
        _collectionsBySku = store.Collections.SelectMany(collection => (collection.Skus ?? []).Select(sku => (sku, collection))).ToLookup(pair => pair.sku, pair => pair.collection);
        Culture = Locales.Find(store.Locale);
        Currency = new CurrencyFormat(store.Currency, Culture);
        _shop = new(new Dictionary<string, FluidValue>
        {
            ["name"] = new StringValue(store.Name),
            ["slug"] = new StringValue(store.Slug),
            ["url"] = new StringValue(store.Url.AbsoluteUri),
            ["currency"] = new StringValue(store.Currency),
            ["locale"] = new StringValue(store.Locale),
            ["text_direction"] = new StringValue(Locales.DirectionOf(store.Locale)),
        });
        // The settings may have been made for another version of the template. A value that is invalid for this version is replaced by the default.
        _settings = new(manifest.Parameters.ToDictionary(
            parameter => parameter.Name,
            parameter => Value(store.Settings.TryGetValue(parameter.Name, out var value) && parameter.Check(value) is null ? value : parameter.ValueWhenAbsent())));
    }

    public System.Globalization.CultureInfo Culture { get; }

    public CurrencyFormat Currency { get; }

    /// <summary>The objects that a page sees, by name.</summary>
    /// <param name="path">The page's path in the release.</param>
    /// <param name="root">The prefix of the page's links.</param>
    /// <param name="item">The product or collection that the page is made for.</param>
    public IEnumerable<KeyValuePair<string, FluidValue>> ForPage(string path, string root, object? item)
    {
        if (!_pages.TryGetValue(root, out var page))
            _pages[root] = page = new PageModel(this, root);

        yield return new("shop", _shop);
        yield return new("settings", _settings);
        yield return new("products", page.Products);
        yield return new("collections", page.Collections);
        yield return new("page", new FieldsValue(new Dictionary<string, FluidValue> { ["path"] = new StringValue(path), ["is_index"] = BooleanValue.Create(path == StorePaths.Index) }));
        yield return new("routes", new FieldsValue(new Dictionary<string, FluidValue> { ["root_url"] = new StringValue(StorePaths.Link(root, StorePaths.Index)) }));
        yield return new("canonical_url", new StringValue(_store.Url.AbsoluteUri + StorePaths.Folder(path)));
        if (item is ProductSpec product)
            yield return new("product", page.Product(product));
        if (item is CollectionSpec collection)
            yield return new("collection", page.Collection(collection));
    }

    private static FluidValue Value(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True => BooleanValue.True,
        JsonValueKind.False => BooleanValue.False,
        JsonValueKind.Number => NumberValue.Create(value.GetDecimal()),
        // In Liquid an empty string is true; an empty setting must not be.
        JsonValueKind.String when value.GetString() is { Length: > 0 } text => new StringValue(text),
        _ => NilValue.Instance,
    };

    /// <summary>The products and collections as pages at one depth see them, whose links have the same prefix.</summary>
    public sealed class PageModel
    {
        private readonly StoreModel _model;
        private readonly string _root;
        private readonly Dictionary<string, FluidValue> _products = [];
        private readonly Dictionary<string, FluidValue> _collections = [];

        public PageModel(StoreModel model, string root)
        {
            (_model, _root) = (model, root);
            Products = new ArrayValue([.. model._store.Products.Select(Product)]);
            Collections = new CollectionsValue([.. model._store.Collections.Select(Collection)], _collections);
        }

        public ArrayValue Products { get; }

        public CollectionsValue Collections { get; }

        public CurrencyFormat Currency => _model.Currency;

        public FluidValue Product(ProductSpec product) =>
            _products.TryGetValue(product.Sku, out var known) ? known : _products[product.Sku] = new ProductValue(product, this);

        public FluidValue Collection(CollectionSpec collection) =>
            _collections.TryGetValue(collection.Slug, out var known) ? known : _collections[collection.Slug] = new CollectionValue(collection, this);

        public string ProductUrl(ProductSpec product) => StorePaths.Link(_root, _model._productPage?.PathFor(product.UrlSlug) ?? StorePaths.Index);

        public string CollectionUrl(CollectionSpec collection) => StorePaths.Link(_root, _model._collectionPage?.PathFor(collection.Slug) ?? StorePaths.Index);

        public ArrayValue CollectionsOf(ProductSpec product) => new([.. _model._collectionsBySku[product.Sku].Select(Collection)]);

        public ArrayValue ProductsOf(CollectionSpec collection) =>
            new([.. (collection.Skus ?? []).Where(_model._bySku.ContainsKey).Select(sku => Product(_model._bySku[sku]))]);
    }
}
